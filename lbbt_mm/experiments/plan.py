"""The plan of a matched experiment: which runs there can be, and what each is trained with."""
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from lbbt_mm.argument_checks import check_choice
from lbbt_mm.config_keys import get_key, shared_options
from lbbt_mm.language.arms import ARMS, DEFAULT_ARM
from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.launch.config_options import option
from lbbt_mm.launch.settings import meant_keys
from lbbt_mm.runs.folder_names import FolderName, short_number
from lbbt_mm.runs.run_checkpoints import refuse_no_best
from lbbt_mm.runs.run_request import override
from .cells import Cell
from .source import Source
from .stages import Stage, named_as, read_stages

LR_KEY = 'optim_wrapper.optimizer.lr'
#: In place of a setting that is not chosen yet
UNKNOWN = '<best of the sweep>'


class Run(NamedTuple):
    """One training with its probes.

    Attributes:
        source: The language model that its arm is made from.
        arm: Its ``language.arm``.
        seed: Its seed.
        lr: Its learning rate; None where the config has no ``optim_wrapper.optimizer.lr``.
        init_std: The standard deviation that ``random_tuned`` is drawn with; None for the other arms.
    """
    source: Source
    arm: str
    seed: int
    lr: Optional[float]
    init_std: Optional[float] = None

    @property
    def label(self) -> str:
        """What its arm is called in tables."""
        return self.source.label(self.arm)

    @property
    def setting(self) -> str:
        """What it is trained with, in words."""
        named = [('', self.lr), ('init_std ', self.init_std)]
        return ' and '.join(f'{name}{value:g}' for name, value in named if value is not None)

    def __str__(self) -> str:
        """Name of its folder."""
        return str(FolderName(self.label, self.seed, self.lr, self.init_std))


@dataclass
class Plan:
    """A config, trained from several arms and seeds.

    Args:
        config: The config file.
        out: Folder of the experiment.
        arms: Values of ``language.arm``; none for a single run with what the config says of arm and seeds.
        seeds: Values of ``language.seed`` and ``randomness.seed``.
        sources: The language models that each arm is made from; by default the config's.
        cells: Settings that each of these is trained with; by default the config's alone.
        lrs: Learning rates to choose from; empty for the config's.
        lr_rule: ``'baseline'`` chooses on the baseline arm for all, ``'per-arm'`` on each arm for itself.
        init_stds: Standard deviations that the arm ``random_tuned`` chooses from.
        baseline: The arm that the others of the same source are compared with.
        probes: Configs of the later stages, trained from a checkpoint of each run.
        checkpoint: From which one: ``'last'`` or ``'best'``.
        options: Overrides of the config.
        probe_options: Overrides of the probes' configs, after those of ``options`` that fit them.
        metrics: Names of the metrics to compare; empty for all of the last validation.
        select_metric: The metric that settings are chosen by; None for the first of ``metrics``, or of what the runs
            validate.
        lower_is_better: Whether that metric is better when lower; None for "if its name has ``loss`` in it".
        keep_going: Choose a setting even if a run of the sweep failed, without that one.
        processes: Ranks of each training.
    """
    config: Path
    out: Path
    arms: Sequence[str] = ()
    seeds: Sequence[int] = ()
    sources: Sequence[Source] = ()
    cells: Sequence[Cell] = (Cell(), )
    lrs: Sequence[float] = ()
    lr_rule: str = 'baseline'
    init_stds: Sequence[float] = ()
    baseline: str = 'random'
    probes: Sequence[Path] = ()
    checkpoint: str = 'last'
    options: Sequence[str] = ()
    probe_options: Sequence[str] = ()
    metrics: Sequence[str] = ()
    select_metric: Optional[str] = None
    lower_is_better: Optional[bool] = None
    keep_going: bool = False
    processes: int = 1

    def __post_init__(self) -> None:
        """Read the configs, and refuse what cannot be carried out."""
        self._refuse_unread()
        self.stages = read_stages(Path(self.config), [Path(probe) for probe in self.probes], self.options,
                                  self.probe_options)
        models = [Source(source.name if len(self.sources) > 1 else '', source.checkpoint)
                  for source in self.sources] or [Source()]
        self.sources = [model._replace(cell=cell) for cell in self.cells for model in models]
        cfg, key = self.stages[0].cfg, self.stages[0].language
        lr = get_key(cfg, LR_KEY)
        self.config_lr = lr if isinstance(lr, (int, float)) else None
        self.is_matched = bool(self.arms)
        if self.is_matched:
            self._check()
            return
        seeds = (get_key(cfg, 'randomness.seed'), get_key(cfg, f'{key}.seed'), 0)
        self.baseline = get_key(cfg, f'{key}.arm') or DEFAULT_ARM
        self.arms, self.seeds = [self.baseline], [next(seed for seed in seeds if seed is not None)]
        check_choice(f'{key}.arm', self.baseline, ARMS)

    def _refuse_unread(self) -> None:
        """Refuse options that nothing would read, before the configs are read."""
        drawn = [name for name, arm in ARMS.items() if arm.asks_std]
        is_sweep = len(self.lrs) > 1 or bool(self.init_stds)
        no_probe = 'there is no probe. Give --probe, or leave this out.'
        no_sweep = 'there is nothing to choose from. Give --lrs two values or more, or leave this out.'
        no_draw = (f'no arm of --arms {" ".join(self.arms)} is drawn with them. Add {" or ".join(drawn)} to --arms, or '
                   'leave this out.')
        for flag, given, is_read, reason in (
                ('--probe-cfg-options', self.probe_options, self.probes, no_probe),
                ('--checkpoint best', self.checkpoint == 'best', self.probes, no_probe),
                ('--stds', self.init_stds, set(drawn) & set(self.arms), no_draw),
                (f'--select-metric {self.select_metric}', self.select_metric, is_sweep, no_sweep),
                ('--lower-is-better', self.lower_is_better, is_sweep, no_sweep),
                ('--lr-rule per-arm', self.lr_rule == 'per-arm', is_sweep, no_sweep)):
            if given and not is_read:
                raise ValueError(f'{flag}: {reason}')

    def _check(self) -> None:
        tuned = [arm for arm in self.arms if ARMS[arm].asks_std]
        if self.lrs and self.config_lr is None:
            raise ValueError(f'{self.config} has no {LR_KEY}, which --lrs sets. Leave --lrs out, or use a config with a '
                             'single optimizer.')
        if tuned and not self.init_stds:
            raise ValueError(f'--arms {" ".join(tuned)}: there is no standard deviation to draw it with. Give --stds, for '
                             'example --stds 0.01 0.02 0.04 0.08.')
        first = self.stages[0]
        for cell in self.cells:
            with named_as(f'--cells, --cell: cell {cell.name}:'):
                override(first.base, [*first.options, *cell.options])
        for source in self.sources:
            language = get_key(override(first.base, [*first.options, *source.cell.options]), first.language)
            other = dict(checkpoint=source.checkpoint, config=None) if source.checkpoint else {}
            if any(ARMS[arm].is_drawn and not ARMS[arm].asks_std for arm in self.arms):
                LanguageOptions.check_random_start({**language, **other})
        of_cells = [given for cell in self.cells for given in cell.options]
        for stage in self.stages:
            shared = shared_options(of_cells, stage.base) if stage.bridge_init else of_cells
            varied = self._varied(stage)
            self._refuse_varied('--cells', stage, shared, varied)
            flag, options = (('--probe-cfg-options', self.probe_options) if stage.bridge_init
                             else ('--cfg-options', self.options))
            in_cells = [key for given in shared for key in meant_keys(stage.cfg, given.split('=')[0])]
            self._refuse_varied(flag, stage, options, [*varied, *in_cells])
        for cell in self.cells:
            keys = [key for given in cell.options for key in meant_keys(first.cfg, given.split('=')[0])]
            twice = next((key for key in keys if keys.count(key) > 1), None)
            if twice:
                raise ValueError(f'--cells, --cell: {twice} is set twice in the cell {cell.name}. Name it once.')

    def refuse_equal(self) -> None:
        """However they are written, two sources or cells with one config are one training, made twice.

        Raises:
            ValueError: If all arms have the same configs in two of them.
        """
        known: List[Tuple[Source, List[dict]]] = []
        for source in self.sources if self.is_matched and len(self.sources) > 1 else ():
            runs = [Run(source, arm, self.seeds[0], self.config_lr) for arm in self.arms]
            with named_as(f'--cells, --cell: cell {source.cell.name}:'):
                configs = [override(stage.base, self.overrides(run, stage)).to_dict()
                           for run in runs for stage in self.stages]
            other = next((one for one, theirs in known if theirs == configs), None)
            if other:
                flag = '--sources' if other.cell == source.cell else '--cells, --cell'
                raise ValueError(f'{flag}: {other.title} and {source.title} come to the same config, so the same would be '
                                 'trained twice. Leave one out, or correct its values.')
            known.append((source, configs))

    def refuse_no_best(self) -> None:
        """Refuse probes of the best checkpoint where the runs keep none.

        Raises:
            ValueError: If the config, with the settings of a cell, does not say by which one metric it is the best.
        """
        first = self.stages[0]
        for cell in self.cells if self.probes and self.checkpoint == 'best' else ():
            where = f'{self.config}, cell {cell.name}' if cell.name else str(self.config)
            refuse_no_best(where, override(first.base, [*first.options, *cell.options]))

    @staticmethod
    def _refuse_varied(flag: str, stage: Stage, options: Sequence[str], varied: Sequence[str]) -> None:
        for given in options:
            if set(meant_keys(stage.cfg, given.split('=')[0])) & set(varied):
                raise ValueError(f'{flag} {given}: this key is what the experiment varies. Use --arms, --seeds, --lrs, '
                                 '--sources or --cells.')

    def _varied(self, stage: Stage) -> List[str]:
        """The keys of a stage's config that runs differ in."""
        of_source = ['checkpoint', 'config'] if self.sources[0].checkpoint else []
        keys = [f'{stage.language}.{name}' for name in ('arm', 'seed', *of_source)] if stage.language else []
        own = [f'{stage.bridge_init}.checkpoint'] if stage.bridge_init else [LR_KEY] if self.lrs else []
        return [*keys, 'randomness.seed', *own]

    # what settings there are

    @property
    def rates(self) -> Sequence[Optional[float]]:
        """The learning rates that there are to choose from, or the one that is given."""
        return self.lrs or [self.config_lr]

    def stds(self, arm: str) -> Sequence[Optional[float]]:
        """The standard deviations that an arm chooses from; None alone where it has none."""
        return self.init_stds if self.is_matched and ARMS[arm].asks_std else [None]

    @property
    def selector(self) -> Optional[str]:
        """The metric that settings are to be chosen by, where one is named."""
        return self.select_metric or next(iter(self.metrics), None)

    @property
    def deciding_stages(self) -> List[Stage]:
        """The probes that a sweep needs: the one whose metric decides, if it is a probe's."""
        return [stage for stage in self.stages[1:] if (self.selector or '').startswith(stage.prefix)]

    # what runs there are

    @property
    def starts(self) -> List[Tuple[Source, str]]:
        """Each source, in each cell, with each arm."""
        return [(source, arm) for source in self.sources for arm in self.arms]

    def all_runs(self) -> List[Run]:
        """Every run that the experiment can come to, whichever settings are chosen."""
        return [Run(source, arm, seed, lr, std) for seed in self.seeds for source, arm in self.starts
                for lr in self.rates for std in self.stds(arm)]

    def comparison(self, settings: Mapping[str, Run], share: Tuple[int, int] = (0, 1)) -> List[Run]:
        """The runs that are compared, of the arms whose setting is known; seeds one after the other.

        Args:
            settings: By the label of each arm, a run with its setting.
            share: Index and number of shares. A run belongs to the same share whichever settings are known by then.
        """
        index, count = share
        found = [(source, arm, seed) for seed in self.seeds for source, arm in self.starts][index::count]
        return [settings[source.label(arm)]._replace(seed=seed) for source, arm, seed in found
                if source.label(arm) in settings]

    def folder(self, run: Run) -> Path:
        """Where a run is."""
        return self.out / 'runs' / (f'{run}-lr{UNKNOWN}' if self.lrs and run.lr is None else str(run))

    def overrides(self, run: Run, stage: Stage) -> List[str]:
        """The overrides of a stage's config in a run, without the checkpoint that a probe starts from.

        A probe gets the settings of a cell that it would get of ``options``.
        """
        if not self.is_matched:
            return list(stage.options)
        of_language = [f'arm={run.arm}', f'seed={run.seed}']
        if run.source.checkpoint:
            of_language += [option('checkpoint', run.source.checkpoint), 'config=None']
        if ARMS[run.arm].asks_std:
            of_language.append(f'init_std={_or_unknown(run.init_std)}')
        lr = [f'{LR_KEY}={_or_unknown(run.lr)}'] if self.lrs and not stage.bridge_init else []
        cell = run.source.cell.options
        return [*stage.options, *(shared_options(cell, stage.base) if stage.bridge_init else cell),
                *(f'{stage.language}.{given}' for given in of_language if stage.language),
                f'randomness.seed={run.seed}', *lr]


def _or_unknown(number: Optional[float]) -> str:
    return UNKNOWN if number is None else short_number(number)
