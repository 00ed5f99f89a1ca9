"""What a training run wrote down: its scalars over all resumptions, its final metrics, whether it diverged."""
import json
import math
from pathlib import Path
from typing import Any, Dict, List, Tuple

Record = Dict[str, Any]

#: What mmengine writes beside the metrics.
_BOOKKEEPING = ('step', 'iter', 'epoch', 'lr', 'base_lr', 'momentum', 'time', 'data_time', 'memory')


def read_records(work_dir: Path) -> Dict[str, List[Record]]:
    """Read every ``scalars.json`` of a run, in the order of its resumptions.

    A resumed run repeats the steps after its checkpoint; the later record of a step wins. A line that a killed process
    left unfinished is skipped.

    Args:
        work_dir: The run's folder.

    Returns:
        dict: ``train`` and ``val``, lists of records that ascend in ``step``. Training steps are iterations; validation
        steps are epochs, or iterations where the logger hook says so.
    """
    records: Dict[str, Dict[int, Record]] = dict(train={}, val={})
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
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
    metrics: Dict[str, float] = {}
    for kind in ('val', 'train'):
        for name, value in (records[kind][-1] if records[kind] else {}).items():
            if name not in _BOOKKEEPING and name not in metrics and isinstance(value, (int, float)):
                metrics[name] = value
    return metrics


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


def in_validation(records: Dict[str, List[Record]], name: str) -> bool:
    """Whether a metric is one of the validations'."""
    return any(name in record for record in records['val'])


def loss_is_finite(records: Dict[str, List[Record]]) -> bool:
    """Whether the last training loss is a number, as it is while nothing is known.

    The last one, since mixed precision skips a step with an infinite loss and goes on.
    """
    losses = [record['loss'] for record in records['train'] if isinstance(record.get('loss'), (int, float))]
    return not losses or math.isfinite(losses[-1])
