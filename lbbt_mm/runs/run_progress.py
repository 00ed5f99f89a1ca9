"""How far a training is, read from its log."""
import re
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Optional

#: Epoch, of loops that count them; iteration; how many there are, in an epoch or in all
_LINE = re.compile(r'(?:Epoch\(train\)\s+\[\s*(\d+)\]|Iter\(train\)\s+)\[\s*(\d+)/(\d+)\]')
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
        self._path, self._position = path, begin
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
        whole = added[:added.rfind(b'\n') + 1]  # the rest of a line comes with the next call
        self._position += len(whole)
        for line in reversed(whole.decode(errors='replace').splitlines()):
            found, loss = _LINE.search(line), _LOSS.search(line)
            if found:
                epoch, step, steps = (int(number or 0) for number in found.groups())
                done, total = ((epoch - 1) * steps + step, self._epochs and self._epochs * steps) if epoch else (step, steps)
                return TrainingProgress(done, total, loss[1] if loss else '-')
        return None
