"""How far a training is, read from its log."""
import re
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Optional

_EPOCH_LINE = re.compile(r'Epoch\(train\)\s+\[\s*(\d+)\]\[\s*(\d+)/(\d+)\].*')
_ITER_LINE = re.compile(r'Iter\(train\)\s+\[\s*(\d+)/(\d+)\].*')
_LOSS = re.compile(r'\bloss: (\S+)')


class TrainingProgress(NamedTuple):
    """How far a run is.

    Attributes:
        step: Iterations done.
        total: Iterations in all, None where the config does not say.
        loss: The last training loss as the log writes it.
    """
    step: int
    total: Optional[int]
    loss: str


class LogFollower:
    """Reads what a training adds to its log."""

    def __init__(self, path: Path, begin: int, config: Mapping[str, Any]) -> None:
        self._path, self._position, self._rest = path, begin, b''
        self._epochs = (config.get('train_cfg') or {}).get('max_epochs')

    def tell(self, listener: Optional[Callable[[TrainingProgress], None]]) -> None:
        """Call somebody, if there is one, with the news, if there are any."""
        news = self.news() if listener else None
        if news:
            listener(news)

    def news(self) -> Optional[TrainingProgress]:
        """The last progress line since the previous call, if there is one."""
        with open(self._path, 'rb') as log:
            log.seek(self._position)
            added = log.read()
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b'\n')
        for line in (line.decode(errors='replace') for line in reversed(lines)):
            loss = _LOSS.search(line)
            text = loss[1] if loss else '-'
            found = _EPOCH_LINE.search(line)
            if found:
                epoch, step, steps = map(int, found.groups())
                return TrainingProgress((epoch - 1) * steps + step, self._epochs and self._epochs * steps, text)
            found = _ITER_LINE.search(line)
            if found:
                return TrainingProgress(int(found[1]), int(found[2]), text)
        return None
