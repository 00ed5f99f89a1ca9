"""A metric that every validation improves, so that every one has a best checkpoint to save."""
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub
from mmengine.registry import METRICS


@METRICS.register_module()
class ProgressMetric(BaseMetric):
    """Which validation it is, of a training that validates every two iterations.

    Within a training mmengine counts the iteration that has just ended, and after a resumption the one that comes.
    """

    def process(self, data_batch, data_samples) -> None:
        self.results.append(None)

    def compute_metrics(self, results) -> dict:
        return dict(progress=(MessageHub.get_current_instance().get_info('iter') + 1) // 2)
