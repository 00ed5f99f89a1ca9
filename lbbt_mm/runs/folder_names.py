"""What the folder of a run is called in an experiment: its label, its seed and what was chosen for it."""
import re
from typing import NamedTuple, Optional

_NUMBER = r'\d+(?:\.\d+)?(?:e[-+]?\d+)?'
_NAME = re.compile(rf'(?P<label>.+)-seed(?P<seed>\d+)(?:-lr(?P<lr>{_NUMBER}))?(?:-std(?P<init_std>{_NUMBER}))?')
_SEED = re.compile(r'-seed\d+(?=-lr|-std|$)')


class FolderName(NamedTuple):
    """The name of a run's folder, ``LABEL-seedS[-lrLR][-stdSTD]``; ``str`` writes it.

    Attributes:
        label: What tables call the run's arm or model.
        seed: Its seed.
        lr: Its learning rate; None where it is not in the name.
        init_std: The standard deviation that its blocks are drawn with; None where it is not in the name.
    """
    label: str
    seed: int
    lr: Optional[float] = None
    init_std: Optional[float] = None

    def __str__(self) -> str:
        named = [(name, number) for name, number in (('lr', self.lr), ('std', self.init_std)) if number is not None]
        return f'{self.label}-seed{self.seed}' + ''.join(f'-{name}{short_number(number)}' for name, number in named)

    @classmethod
    def read(cls, name: str) -> Optional['FolderName']:
        """Read a name; None where it is of another form.

        Args:
            name: Name of a folder.
        """
        found = _NAME.fullmatch(name)
        lr, std = (found[key] and float(found[key]) for key in ('lr', 'init_std')) if found else (None, None)
        return cls(found['label'], int(found['seed']), lr, std) if found else None


def without_seed(name: str) -> str:
    """The name of a run's folder without its seed, which runs of one label and setting share.

    Args:
        name: Name of a folder; one without a seed is returned unchanged.
    """
    return _SEED.sub('', name)


def short_number(number: float) -> str:
    """A number as people write it, exactly: ``0.001``, ``3e-05``."""
    text = f'{number:g}'
    return text if float(text) == number else repr(number)
