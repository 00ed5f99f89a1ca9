"""What a training run wrote down: its scalars over all resumptions, its final metrics, whether it diverged."""
import json
import math
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

Record = Dict[str, Any]

#: What mmengine writes beside the metrics.
_BOOKKEEPING = ('step', 'iter', 'epoch', 'lr', 'base_lr', 'momentum', 'time', 'data_time', 'memory')
#: Of a run with an auxiliary path, the main path's loss without its weight: what other runs have as their ``loss``.
MAIN_LOSS = 'main_unweighted'
_ERROR_LINE = re.compile(r'(\[rank\d+\]: *)?(Assertion|Value|Runtime|FloatingPoint)Error: ')
#: mmengine's CheckInvalidLossHook, torch's anomaly mode, scipy's assignment on a cost matrix of NaNs, and their like
_NAN_ERROR = re.compile(r'\bnans?\b|\binfinite\b|non-?finite|invalid numeric entries', re.IGNORECASE)


def read_records(work_dir: Path, attempts: Optional[Sequence[str]] = None) -> Dict[str, List[Record]]:
    """Read every ``scalars.json`` of a run, in the order of its resumptions.

    A resumed run repeats the steps after its checkpoint; the later record of a step wins. A line that a killed process
    left unfinished is skipped.

    Args:
        work_dir: The run's folder.
        attempts: The folders of its attempts. Defaults to None, all that are there.

    Returns:
        dict: ``train`` and ``val``, lists of records that ascend in ``step``. Training steps are iterations; validation
        steps are epochs, or iterations where the logger hook says so.
    """
    records: Dict[str, Dict[int, Record]] = dict(train={}, val={})
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        if attempts is not None and path.parts[-3] not in attempts:
            continue
        for line in path.read_text(errors='replace').splitlines():
            try:
                record = json.loads(line)
                step = record['step']
            except (ValueError, KeyError, TypeError):
                continue
            # mmengine gives training records an iteration, and validation records none
            records['train' if 'iter' in record else 'val'][step] = record
    return {kind: [steps[step] for step in sorted(steps)] for kind, steps in records.items()}


def final_metrics(records: Dict[str, List[Record]]) -> Dict[str, float]:
    """The metrics of the last validation, and those of the last training record whose names it leaves free.

    Args:
        records: What :func:`read_records` returns.

    Returns:
        dict: Name -> value; the validation's come first.
    """
    metrics = validation_metrics(records)
    return {**metrics, **_last_metrics(records['train']), **metrics}


def validation_metrics(records: Dict[str, List[Record]]) -> Dict[str, float]:
    """The metrics of the last validation alone, in the order in which they were written."""
    return _last_metrics(records['val'])


def _last_metrics(records: List[Record]) -> Dict[str, float]:
    return {name: value for name, value in (records[-1] if records else {}).items()
            if name not in _BOOKKEEPING and isinstance(value, (int, float))}


def curve(records: Dict[str, List[Record]], name: str) -> List[Tuple[int, float]]:
    """A metric over the steps, from the validations or, where they do not have it, from the training records.

    Args:
        records: What :func:`read_records` returns.
        name: The metric.

    Returns:
        list: Pairs (step, value).
    """
    kind = 'val' if in_validation(records, name) else 'train'
    return [(record['step'], record[name]) for record in records[kind] if name in record]


def comparable_loss(records: Dict[str, List[Record]]) -> str:
    """The name of the training loss by which runs with and without an auxiliary path can be compared.

    ``loss`` is what a run minimises; with an auxiliary path it is a mean of two losses, whose weights change in training.
    """
    return MAIN_LOSS if any(MAIN_LOSS in record for record in records['train']) else 'loss'


def in_validation(records: Dict[str, List[Record]], name: str) -> bool:
    """Whether a metric is one of the validations'."""
    return any(name in record for record in records['val'])


def loss_is_finite(records: Dict[str, List[Record]]) -> bool:
    """Whether the last training loss is a number, as it is while nothing is known.

    The last one, since mixed precision skips a step with an infinite loss and goes on.
    """
    losses = [record['loss'] for record in records['train'] if isinstance(record.get('loss'), (int, float))]
    return not losses or math.isfinite(losses[-1])


def validation_is_finite(records: Dict[str, List[Record]]) -> bool:
    """Whether all metrics of the last validation are numbers.

    Except those of single classes, ``coco/CLASS_precision``: mmdet writes NaN for a class that the images do not have.
    """
    return all(math.isfinite(value) for name, value in validation_metrics(records).items()
               if not name.endswith('_precision'))


def failed_of_nan(output: str) -> bool:
    """Whether an error that is in a training's output, of any rank, says that a number was none."""
    return any(_NAN_ERROR.search(line) for line in output.splitlines() if _ERROR_LINE.match(line))
