"""The matched experiment of ``compare_arms.py``: which runs there are, which learning rate they get, what came out."""
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import pandas as pd

from lbbt_mm.config_keys import find_bridge_init, find_keys, find_language, get_key, shared_options, validation_unit
from lbbt_mm.files.run_records import curve, in_validation, validation_metrics
from lbbt_mm.language.arms import ARMS
from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.launch.config_options import option
from lbbt_mm.runs.run_request import override, read_config
from lbbt_mm.runs.training_pool import Chain
from lbbt_mm.runs.training_run import OtherRunError, TrainingRun
from .statistics import best_setting, status_column

LR_KEY = 'optim_wrapper.optimizer.lr'
#: Arms whose standard deviation is chosen here
_TUNED = [name for name, arm in ARMS.items() if arm.asks_std]
#: A probe's metrics begin with its file name; those of the first stage can begin with these
_TAKEN = ('bridge', 'train', 'test', 'accuracy', 'coco')


class Setting(NamedTuple):
    """What an arm is trained with.

    Attributes:
        lr: The learning rate; None where the config has no ``optim_wrapper.optimizer.lr``.
        init_std: The standard deviation that ``random_tuned`` is drawn with; None for the other arms.
    """
    lr: Optional[float]
    init_std: Optional[float] = None

    def __str__(self) -> str:
        lr = '' if self.lr is None else f'{self.lr:g}'
        return lr if self.init_std is None else f'{lr} and init_std {self.init_std:g}'


class ArmRun(NamedTuple):
    """One training: an arm, a seed, and the two parts of its :class:`Setting`."""
    arm: str
    seed: int
    lr: Optional[float]
    init_std: Optional[float] = None

    @property
    def name(self) -> str:
        """Name of its folder."""
        lr = '' if self.lr is None else f'-lr{short_number(self.lr)}'
        return f'{self.arm}-seed{self.seed}{lr}' + ('' if self.init_std is None else f'-std{short_number(self.init_std)}')


@dataclass
class ArmExperiment:
    """A config, trained from several arms and seeds, and what is measured on it.

    Args:
        config: The config file.
        out: Folder of the experiment.
        arms: Values of ``language.arm``.
        seeds: Values of ``language.seed`` and ``randomness.seed``.
        lrs: Learning rates to choose from; empty for the config's.
        lr_rule: ``'baseline'`` chooses on the baseline arm for all, ``'per-arm'`` on each arm for itself.
        baseline: The arm that the others are compared with.
        probes: Configs of the later stages, trained from the last checkpoint of each run.
        options: Overrides of the config.
        probe_options: Overrides of the probes' configs, after those of ``options`` that fit them.
        metrics: Names of the metrics to compare; empty for all of the last validation.
        select_metric: The metric that the learning rate is chosen by; None for the first of ``metrics``, or of what the
            runs validate.
        lower_is_better: Whether that metric is better when lower; None for "if its name has ``loss`` in it".
        keep_going: Choose a learning rate even if a run of the sweep failed, without that one.
        init_stds: Standard deviations that the arm ``random_tuned`` chooses from.
    """
    config: Path
    out: Path
    arms: Sequence[str]
    seeds: Sequence[int]
    lrs: Sequence[float] = ()
    lr_rule: str = 'baseline'
    baseline: str = 'random'
    probes: Sequence[Path] = ()
    options: Sequence[str] = ()
    probe_options: Sequence[str] = ()
    metrics: Sequence[str] = ()
    select_metric: Optional[str] = None
    lower_is_better: Optional[bool] = None
    keep_going: bool = False
    init_stds: Sequence[float] = ()

    def __post_init__(self) -> None:
        """Find the keys that the experiment sets; no run is started with a config that lacks them."""
        self.config = Path(self.config)
        self.probes = [Path(probe) for probe in self.probes]
        self._bases = {path: read_config(path) for path in (self.config, *self.probes)}
        cfg = override(self._bases[self.config], self.options)
        self.language_key = find_language(cfg.get('model'), self.config)
        self.config_lr = get_key(cfg, LR_KEY)
        self._units = {'': validation_unit(cfg)}
        if self.lrs and self.config_lr is None:
            raise ValueError(f'{self.config} has no {LR_KEY}, which --lrs sets. Leave --lrs out, or use a config with a '
                             'single optimizer.')
        if set(_TUNED) & set(self.arms) and not self.init_stds:
            raise ValueError(f'--arms {" ".join(_TUNED)}: there is no standard deviation to draw it with. Give --stds, for '
                             'example --stds '
                             '0.01 0.02 0.04 0.08.')
        if any(ARMS[arm].is_drawn and not ARMS[arm].asks_std for arm in self.arms):
            LanguageOptions.check_random_start(get_key(cfg, self.language_key))
        own = (f'{self.language_key}.arm', f'{self.language_key}.seed', 'randomness.seed', *([LR_KEY] if self.lrs else []))
        _refuse_keys('--cfg-options', self.options, own)
        names = [probe.stem for probe in self.probes]
        if len(set(names)) < len(names) or set(names) & set(_TAKEN):
            raise ValueError(f'--probe {" ".join(map(str, self.probes))}: each needs a file name of its own, which names '
                             f'its metrics, and none can be called {", ".join(_TAKEN)}. Rename it.')
        self._selector = self.select_metric or next(iter(self.metrics), None)
        self._probe_keys = {probe: self._check_probe(probe) for probe in self.probes}

    def _check_probe(self, probe: Path) -> Tuple[str, Optional[str]]:
        """The keys of the probe's bridge initialiser and of its language dict."""
        cfg = override(self._bases[probe], [*self._shared_options(probe), *self.probe_options])
        self._units[f'{probe.stem}/'] = validation_unit(cfg)
        keys = find_bridge_init(cfg.get('model'), probe)
        languages = find_keys(cfg.get('model'), lambda key, value: key == 'language' and isinstance(value, dict))
        language = languages[0] if len(languages) == 1 else None
        own = [f'{language}.arm', f'{language}.seed'] if language else []
        _refuse_keys('--probe-cfg-options', self.probe_options, [*own, 'randomness.seed', f'{keys}.checkpoint'])
        return keys, language

    def _shared_options(self, probe: Path) -> List[str]:
        """The overrides that belong to a probe too: those of the backbone, and where the data are."""
        return shared_options(self.options, self._bases[probe])

    # the plan

    def sweep(self) -> List[ArmRun]:
        """The runs that settings are chosen by; none where there is no choice.

        By the rule ``baseline``, those that choose a standard deviation come when the learning rate is known.
        """
        runs = {}
        for arm in dict.fromkeys([self.baseline, *self.arms] if self.lr_rule == 'baseline' else self.arms):
            candidates = self.candidates(arm)
            if len(candidates) > 1:
                runs.update(dict.fromkeys(ArmRun(arm, self.seeds[0], *setting) for setting in candidates))
        return list(runs)

    def candidates(self, arm: str) -> List[Setting]:
        """The settings that an arm chooses from; empty as long as its learning rate is that of a baseline not known yet."""
        stds = list(self.init_stds) if ARMS[arm].asks_std else [None]
        if len(self.lrs) < 2:
            rates = [self.lrs[0] if self.lrs else self.config_lr]
        elif self.lr_rule == 'per-arm' or arm == self.baseline:
            rates = list(self.lrs)
        else:
            rate = self._lr_of_all()
            rates = [] if rate is None else [rate]
        return [Setting(lr, std) for lr in rates for std in stds]

    def _first_sweep(self) -> List[ArmRun]:
        """The runs of the sweep that wait for no choice."""
        first = [self.baseline] if self.lr_rule == 'baseline' and len(self.lrs) > 1 else self.arms
        return [ArmRun(arm, self.seeds[0], *setting) for arm in first for setting in self.candidates(arm)]

    def _lr_of_all(self) -> Optional[float]:
        """By the rule ``baseline``: the learning rate that the baseline arm has chosen, None as long as it has not."""
        if len(self.lrs) < 2 or self.lr_rule != 'baseline':
            return None
        best = self._best(self.baseline)
        return best and best.lr

    def comparison(self, settings: Mapping[str, Setting], share: Tuple[int, int] = (0, 1)) -> List[ArmRun]:
        """The runs that are compared, of the arms whose setting is known; seeds one after the other.

        Args:
            settings: The setting of each arm.
            share: Index and number of shares. A run belongs to the same share whichever settings are known by then.
        """
        index, count = share
        pairs = [(arm, seed) for seed in self.seeds for arm in self.arms][index::count]
        return [ArmRun(arm, seed, *settings[arm]) for arm, seed in pairs if arm in settings]

    def all_runs(self) -> List[ArmRun]:
        """Every run that the experiment can come to, whichever settings are chosen."""
        return [ArmRun(arm, seed, lr, std) for seed in self.seeds for arm in self.arms for lr in self.lrs or [self.config_lr]
                for std in (self.init_stds if ARMS[arm].asks_std else [None])]

    def choose_settings(self) -> Dict[str, Setting]:
        """The setting of each arm; an arm is absent as long as a run of its sweep is."""
        best = {arm: self._best(arm) for arm in self.arms}
        return {arm: setting for arm, setting in best.items() if setting is not None}

    def _best(self, arm: str) -> Optional[Setting]:
        """The setting that an arm has chosen, None as long as it has not."""
        candidates = self.candidates(arm)
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        runs = [ArmRun(arm, self.seeds[0], *setting) for setting in candidates]
        if not all(self.is_over(run, self.sweep_probes()) for run in runs):
            return None
        scores = {setting: self.score(run) for setting, run in zip(candidates, runs)}
        if self.lr_rule == 'per-arm' and not any(score is not None for score in scores.values()):
            scores[min(candidates)] = 0.  # an arm that always diverged is shown as such
        return best_setting(scores, self.lower)

    def edge_warnings(self, settings: Mapping[str, Setting]) -> List[str]:
        """A sentence for each arm whose best setting lies at an end of the sweep, or that has none."""
        warnings = []
        for arm in dict.fromkeys(run.arm for run in self.sweep() if run.arm in settings):
            statuses = {self.deciding_status(run) for run in self.sweep() if run.arm == arm}
            if 'finished' not in statuses:
                warnings.append(f'Arm {arm} {" or ".join(sorted(statuses))} at every setting of the sweep; it is shown with '
                                f'{settings[arm]}.')
                continue
            for name, found, tried in (('learning rate', settings[arm].lr, {run.lr for run in self.candidates(arm)}),
                                       ('standard deviation', settings[arm].init_std,
                                        {run.init_std for run in self.candidates(arm)})):
                end = len(tried) > 1 and {max(tried): 'largest', min(tried): 'smallest'}.get(found)
                if end:
                    warnings.append(f'The best {name} of arm {arm}, {found:g}, is the {end} of the sweep: a better one may '
                                    'lie beyond it.')
        return warnings

    @property
    def selector(self) -> Optional[str]:
        """The metric that the learning rate is chosen by; None as long as it is not named and no run has validated.

        Without a name it is the first metric of the validation of the runs themselves, never one of the training.
        """
        if self._selector is None:
            validated = (name for run in self._first_sweep() for name in validation_metrics(self.training(run).records()))
            self._selector = next(validated, None)
        return self._selector

    @property
    def lower(self) -> bool:
        """Whether the lowest value of that metric is the best."""
        return 'loss' in (self.selector or '') if self.lower_is_better is None else self.lower_is_better

    def sweep_probes(self) -> List[Path]:
        """The probes that the sweep needs: the one whose metric decides, if it is a probe's."""
        return [probe for probe in self.probes if (self.selector or '').startswith(f'{probe.stem}/')]

    def deciding_status(self, run: ArmRun) -> str:
        """How the stage of a run ended whose metric decides about the learning rate."""
        row = self.row(run)
        return row[status_column(pd.DataFrame([row]), self.selector or '')]

    def score(self, run: ArmRun) -> Optional[float]:
        """The value that decides about a learning rate; None for a run that diverged or failed.

        Raises:
            ValueError: If a run that finished does not have the metric.
        """
        if self.deciding_status(run) != 'finished':
            return None
        name, metrics = self.selector, {name: value for name, value in self.row(run).items()
                                        if name not in ('seed', 'lr', 'init_std') and isinstance(value, (int, float))}
        if name not in metrics:
            what = f'metric {name}' if name else 'metric of a validation to choose the learning rate by'
            raise ValueError(f'{run.name} has no {what}; found {", ".join(metrics) or "none"}. '
                             f'{"Correct" if name else "Give"} --metric or --select-metric.')
        return metrics[name]

    # the trainings

    def training(self, run: ArmRun) -> TrainingRun:
        """The training of a run; a learning rate that is not known yet is written as <best of the sweep>."""
        unknown = '<best of the sweep>'
        lr = unknown if run.lr is None else short_number(run.lr)
        std = unknown if run.init_std is None else short_number(run.init_std)
        folder = f'{run.name}-lr{unknown}' if self.lrs and run.lr is None else run.name
        options = [*self.options, f'{self.language_key}.arm={run.arm}', f'{self.language_key}.seed={run.seed}',
                   *([f'{self.language_key}.init_std={std}'] if ARMS[run.arm].asks_std else []),
                   f'randomness.seed={run.seed}', *([f'{LR_KEY}={lr}'] if self.lrs else [])]
        return TrainingRun(self.config, self.out / 'runs' / folder, options, base=self._bases[self.config])

    def probing(self, run: ArmRun, probe: Path) -> TrainingRun:
        """The training of a probe on the last checkpoint of a run, which is written in <> while it is not known."""
        init_key, language_key = self._probe_keys[probe]
        training = self.training(run)
        checkpoint = f'{init_key}.checkpoint=<last checkpoint of {training.work_dir}>'
        if training.status == 'finished':
            checkpoint = option(f'{init_key}.checkpoint', training.checkpoint(must_exist=False))
        own = [f'{language_key}.arm={run.arm}', f'{language_key}.seed={run.seed}'] if language_key else []
        if own and ARMS[run.arm].asks_std:
            own.append(f'{language_key}.init_std={short_number(run.init_std)}' if run.init_std else
                       f'{language_key}.init_std=<best of the sweep>')
        options = [*self._shared_options(probe), *own, f'randomness.seed={run.seed}', *self.probe_options,
                   checkpoint]
        return TrainingRun(probe, training.work_dir / 'probes' / probe.stem, options, base=self._bases[probe])

    def trainings(self, run: ArmRun, probes: Sequence[Path]) -> List[TrainingRun]:
        """The trainings of a run and its probes."""
        return [self.training(run), *(self.probing(run, probe) for probe in probes)]

    def chain(self, run: ArmRun, probes: Sequence[Path]) -> Chain:
        """A run and its probes, one after the other."""
        def step(probe: Optional[Path] = None) -> TrainingRun:
            training = self.probing(run, probe) if probe else self.training(run)
            if training.status not in ('finished', 'diverged'):
                self._check_unchanged(training.config)
                if probe:
                    self.training(run).checkpoint()  # raises if it was removed
            return training

        return Chain(run.name, [step, *(partial(step, probe) for probe in probes)])

    def _check_unchanged(self, path: Path) -> None:
        if read_config(path).to_dict() != self._bases[path].to_dict():
            raise OtherRunError(f'{path} has changed since this command began, so its runs would not be matched. Undo the '
                                'change, or start an experiment in another folder.')

    def is_over(self, run: ArmRun, probes: Sequence[Path]) -> bool:
        """Whether a run has ended, and where it finished its probes too.

        One that failed is to be tried again, unless the experiment goes on without.
        """
        ends = ('finished', 'diverged', *(['failed'] if self.keep_going else []))
        status = self.training(run).status
        if status != 'finished':
            return status in ends
        return all(self.probing(run, probe).status in ends for probe in probes)

    # what came out

    def row(self, run: ArmRun) -> Dict[str, Any]:
        """A run's row of ``results.csv``."""
        training = self.training(run)
        metrics, statuses = training.metrics(), dict(status=training.status)
        for probe in self.probes:
            later = self.probing(run, probe)
            statuses[f'{probe.stem}/status'] = later.status if training.status == 'finished' else training.status
            metrics.update({f'{probe.stem}/{name}': value for name, value in later.metrics().items()})
        std = dict(init_std=run.init_std) if set(_TUNED) & set(self.arms) else {}
        return {**dict(arm=run.arm, seed=run.seed, lr=run.lr), **std, **metrics, **statuses}

    def results(self, runs: Sequence[ArmRun]) -> pd.DataFrame:
        """A row a run: arm, seed, setting, its final metrics by name, how it and its probes ended."""
        table = pd.DataFrame([self.row(run) for run in dict.fromkeys(runs)])
        # a run that has no metrics yet would put its status in front of theirs
        return table[sorted(table, key=lambda name: name.split('/')[-1] == 'status')]

    def validation_metrics(self, runs: Sequence[ArmRun]) -> List[str]:
        """The metrics to compare: those asked for, else all of the last validations, in the order they were written."""
        if self.metrics:
            return list(self.metrics)
        names: Dict[str, None] = {}
        for run in runs:
            for prefix, training in self._stages(run):
                names.update(dict.fromkeys(f'{prefix}{name}' for name in validation_metrics(training.records())))
        return list(names)

    def curves(self, runs: Sequence[ArmRun], metric: str) -> Tuple[pd.DataFrame, str]:
        """A metric over training.

        Returns:
            tuple: ``arm, seed, step, value``, a row a point; and what ``step`` counts.
        """
        prefix = next((f'{probe.stem}/' for probe in self.probes if metric.startswith(f'{probe.stem}/')), '')
        name, unit, rows = metric[len(prefix):], self._units[prefix], []
        for run in runs:
            records = dict(self._stages(run))[prefix].records()
            points = curve(records, name)
            if points and not in_validation(records, name):
                unit = 'iteration'
            rows += [(run.arm, run.seed, *point) for point in points]
        return pd.DataFrame(rows, columns=['arm', 'seed', 'step', 'value']), unit

    def _stages(self, run: ArmRun) -> List[Tuple[str, TrainingRun]]:
        """Prefix of the metrics' names and training, of a run and its probes."""
        prefixes = ['', *(f'{probe.stem}/' for probe in self.probes)]
        return list(zip(prefixes, self.trainings(run, self.probes)))


def _refuse_keys(flag: str, options: Sequence[str], varied: Sequence[str]) -> None:
    for given in options:
        if given.split('=')[0] in varied:
            raise ValueError(f'{flag} {given}: this key is what the experiment varies. Use --arms, --seeds or --lrs.')


def short_number(number: float) -> str:
    """A number as people write it, exactly: ``0.001``, ``3e-05``."""
    text = f'{number:g}'
    return text if float(text) == number else repr(number)
