"""What the runs of an experiment have written so far, read from the disk once."""
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, List, Sequence

from lbbt_mm.files.run_records import Record, final_metrics, validation_metrics
from .plan import Plan, Run
from .stages import Stage
from .trainings import bare_training, is_outdated


@dataclass
class StageOutcome:
    """What came out of one training.

    Attributes:
        status: A word of :attr:`~lbbt_mm.runs.training_run.TrainingRun.status`, or ``outdated`` for a probe of a run that
            was there before.
        records: Its scalars, see :func:`~lbbt_mm.files.run_records.read_records`.
    """
    status: str
    records: Dict[str, List[Record]]

    @cached_property
    def metrics(self) -> Dict[str, float]:
        """Final metrics by name."""
        return final_metrics(self.records)

    @cached_property
    def validated(self) -> Dict[str, float]:
        """Those of the last validation."""
        return validation_metrics(self.records)


@dataclass
class Outcome:
    """What came out of a run and its probes.

    Attributes:
        stages: By the prefix of their metrics' names, the run's own first.
    """
    stages: Dict[str, StageOutcome]

    @property
    def status(self) -> str:
        """How the run itself ended, or where it is."""
        return self.stages[''].status

    @property
    def statuses(self) -> Dict[str, str]:
        """Prefix -> how a stage ended; a probe of a run that did not finish is where that one is."""
        return {prefix: stage.status if self.status == 'finished' else self.status
                for prefix, stage in self.stages.items()}

    @cached_property
    def metrics(self) -> Dict[str, float]:
        """Final metrics of all stages by their whole names."""
        return {f'{prefix}{name}': value for prefix, stage in self.stages.items() for name, value in stage.metrics.items()}

    @property
    def validated(self) -> List[str]:
        """Names of the metrics of the last validations, in the order they were written."""
        return [f'{prefix}{name}' for prefix, stage in self.stages.items() for name in stage.validated]

    def owner(self, metric: str) -> str:
        """Prefix of the stage that a metric is of."""
        return max((prefix for prefix in self.stages if metric.startswith(prefix)), key=len)

    def is_over(self, probes: Sequence[Stage], ends: Sequence[str]) -> bool:
        """Whether the run has ended, and where it finished some of its probes too."""
        return all(self.statuses[prefix] in ends for prefix in ('', *(probe.prefix for probe in probes)))


def collect(plan: Plan) -> Dict[Run, Outcome]:
    """Read what all runs of a plan have written so far.

    Returns:
        dict: Outcomes, also of runs that are not there (yet).
    """
    return {run: Outcome({stage.prefix: _read(plan, run, stage) for stage in plan.stages}) for run in plan.all_runs()}


def _read(plan: Plan, run: Run, stage: Stage) -> StageOutcome:
    training = bare_training(plan, run, stage)
    if stage.bridge_init and is_outdated(training, bare_training(plan, run, plan.stages[0])):
        return StageOutcome('outdated', dict(train=[], val=[]))
    return StageOutcome(training.status, training.records())
