"""An error while a sample is loaded names the sample's files."""
from typing import Any, Dict, Iterator, Optional

from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from lbbt_mm.registry import HOOKS

#: Where samples say which files they are.
_FILES = ('img_path', 'seg_map_path')


class LoadingError(RuntimeError):
    """A sample could not be loaded; the message names its files."""


class NamingCompose(Compose):
    """A pipeline that says of which files a sample is when a transform fails.

    Args:
        compose: The pipeline, whose transforms it takes over.
    """

    def __init__(self, compose: Compose) -> None:
        self.transforms = compose.transforms

    def __call__(self, data: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Run the transforms, as mmengine's pipeline does."""
        files = [str(data[key]) for key in _FILES if isinstance(data, dict) and data.get(key)]
        for transform in self.transforms:
            try:
                data = transform(data)
            except Exception as error:
                if not files or isinstance(error, LoadingError):
                    raise
                found = f'{type(error).__name__}: {" ".join(str(error).split())}'
                raise LoadingError(f'{" with ".join(files)}: {type(transform).__name__} failed on it: {found}. Replace the '
                                   'file, or take it out of the data set; tools/check_data.py CONFIG looks at all of '
                                   'them.') from error
            if data is None:
                return None
        return data


@HOOKS.register_module()
class NamedFilesHook(Hook):
    """Have errors in the pipelines of a run's data sets name the files.

    Decoders say of an empty file that a buffer is empty. ``tools/train.py`` and ``tools/test.py`` add this hook.
    """

    def before_train(self, runner: Runner) -> None:
        """Take the data set of the training."""
        self._name(runner.train_loop.dataloader)

    def before_val(self, runner: Runner) -> None:
        """Take the data set of the validation."""
        self._name(runner.val_loop.dataloader)

    def before_test(self, runner: Runner) -> None:
        """Take the test set."""
        self._name(runner.test_loop.dataloader)

    @staticmethod
    def _name(loader: Any) -> None:
        for dataset in _datasets(loader.dataset if isinstance(loader, DataLoader) else None):
            if type(getattr(dataset, 'pipeline', None)) is Compose:
                dataset.pipeline = NamingCompose(dataset.pipeline)


def _datasets(dataset: Any) -> Iterator[Any]:
    """A data set and those inside of it, where it wraps some."""
    if dataset is None:
        return
    yield dataset
    for inner in [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or [])]:
        yield from _datasets(inner)
