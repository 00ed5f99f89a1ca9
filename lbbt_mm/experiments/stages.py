"""The trainings that each run of an experiment has: that of the config, then probes that start from its checkpoint."""
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

from mmengine.config import Config

from lbbt_mm.config_keys import find_bridge_init, find_language, language_keys, shared_options, validation_unit
from lbbt_mm.runs.run_request import override, read_config

#: A probe's metrics begin with its file name; those of the first stage can begin with these
_TAKEN = ('bridge', 'train', 'test', 'accuracy', 'coco')


@dataclass(frozen=True, eq=False)
class Stage:
    """One of these trainings.

    Attributes:
        config: The config file.
        base: What it says.
        options: Overrides that all runs have.
        cfg: The config with them.
        language: Key of its ``language`` dict; None where a probe does not have one.
        bridge_init: Key of the initialiser that takes the first stage's checkpoint; None of the first stage itself.
    """
    config: Path
    base: Config
    options: Sequence[str]
    cfg: Config
    language: Optional[str]
    bridge_init: Optional[str] = None

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.config.stem if self.bridge_init else 'bridge'

    @property
    def prefix(self) -> str:
        """What the names of its metrics begin with, so that they differ from those of other stages."""
        return f'{self.config.stem}/' if self.bridge_init else ''

    @property
    def unit(self) -> str:
        """What the steps of its validations count."""
        return validation_unit(self.cfg)


@contextmanager
def named_as(flag: str) -> Iterator[None]:
    """Have an error over an override name the option of the command line that it stood in.

    Args:
        flag: That option, in place of ``--cfg-options``.

    Raises:
        ValueError: The error.
    """
    try:
        yield
    except ValueError as error:
        found = str(error)
        raise ValueError(flag + found[len('--cfg-options'):] if found.startswith('--cfg-options ') else found) from error


def read_stages(config: Path, probes: Sequence[Path], options: Sequence[str],
                probe_options: Sequence[str]) -> List[Stage]:
    """Read the configs of an experiment.

    Args:
        config: The config of the first stage.
        probes: Those of the later ones.
        options: Overrides of the first; a probe gets those that fit it, see
            :func:`~lbbt_mm.config_keys.shared_options`.
        probe_options: Overrides of the probes.

    Returns:
        list[Stage]: The stages, in the order in which they train.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a config cannot take its part, or an override is of a key that nothing reads.
    """
    names = [probe.stem for probe in probes]
    if len(set(names)) < len(names) or set(names) & set(_TAKEN):
        raise ValueError(f'--probe {" ".join(map(str, probes))}: each needs a file name of its own, which names its '
                         f'metrics, and none can be called {", ".join(_TAKEN)}. Rename it.')
    stages = []
    for path in (config, *probes):
        base, is_probe = read_config(path), bool(stages)
        given = shared_options(options, base) if is_probe else list(options)
        cfg = override(base, given)
        if is_probe:
            given += probe_options
            with named_as('--probe-cfg-options'):
                cfg = override(base, given)
        model = cfg.get('model')
        keys = language_keys(model) if is_probe else [find_language(model, path)]
        stages.append(Stage(path, base, given, cfg, keys[0] if len(keys) == 1 else None,
                            find_bridge_init(model, path) if is_probe else None))
    return stages
