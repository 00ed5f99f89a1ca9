"""Trained models, as their config and checkpoint say, at the start and at the end of their training, and images for them."""
import argparse
import io
from contextlib import redirect_stdout
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config
from torch import Tensor, nn

from lbbt_mm.config_keys import walk
from lbbt_mm.files.overwriting import is_dumped_config
from .arguments import check_label, split_label, split_pair
from .parts import stamp
from .run_names import message_names


class Trained(NamedTuple):
    """A model that a run has trained.

    Attributes:
        label: What figures call it.
        config: Its config file, or the folder of the run.
        checkpoint: Its checkpoint; None for that of the run's folder: to :class:`OpenedRun` the latest, where the training
            ended; to :func:`open_for_inference` the best that it kept.
    """
    label: str
    config: Path
    checkpoint: Optional[Path] = None


def read_trained(text: str) -> Trained:
    """Read ``[LABEL=]RUN`` or ``[LABEL=]CONFIG,CHECKPOINT``, of a command line.

    Args:
        text: What the user gave. Without a label it is the name of the run's folder, or of the checkpoint.

    Raises:
        argparse.ArgumentTypeError: If it is neither, or its label cannot be shown.
    """
    label, where = split_label(text)
    config, checkpoint = split_pair(where)
    if not config or (checkpoint == '') == config.endswith(('.py', '.json', '.yaml', '.yml')):
        raise argparse.ArgumentTypeError(f'{text}: expected the folder of a run, or CONFIG.py,CHECKPOINT.pth')
    path = Path(checkpoint or config)
    label = check_label(label or (path.stem if checkpoint else path.resolve().name), text)
    return Trained(label, Path(config), Path(checkpoint) if checkpoint else None)


def open_runs(args: argparse.Namespace) -> List['OpenedRun']:
    """Open the runs of a command line, all of them before work begins.

    Args:
        args: With ``runs``, ``cfg_options`` and ``split``.

    Raises:
        argparse.ArgumentTypeError: If one is no run.
        FileNotFoundError: If a run is not there.
        ValueError: If a run is named twice, which would count as two, or has no such split.
    """
    opened: List[OpenedRun] = []
    for text in args.runs:
        run = OpenedRun(read_trained(text), args.cfg_options)
        run.loader(args.split)
        same = [other for other in opened if other.checkpoint.resolve() == run.checkpoint.resolve()]
        if any(other.cfg.to_dict() == run.cfg.to_dict() for other in same):
            raise ValueError(f'{text}: this run is named twice. Name each run once.')
        opened.append(run)
    for run, name in zip(opened, message_names(opened)):
        run.name = name
    return opened


def open_for_inference(trained: Trained, options: Sequence[str] = ()) -> 'OpenedRun':
    """Open a run for its predictions or features, not for how its training went.

    Args:
        trained: The run; where no checkpoint is named, the best one is taken if its config keeps it, else the last, see
            :func:`~lbbt_mm.runs.run_checkpoints.chosen_checkpoint`.
        options: Overrides of its config.

    Raises:
        FileNotFoundError: If the folder has no run, or the run no such checkpoint.
        ValueError: If its config cannot be read, or the best checkpoints of several metrics are there.
    """
    from lbbt_mm.runs.run_checkpoints import chosen_checkpoint
    if trained.checkpoint is None:
        trained = trained._replace(checkpoint=chosen_checkpoint(trained.config, run_config(trained.config)))
    return OpenedRun(trained, options)


class OpenedRun:
    """A run's config, and its model at the start or at the end.

    Args:
        trained: The run.
        options: Overrides of its config, ``'KEY=VALUE'``.

    Raises:
        FileNotFoundError: If the folder has no run, or the run no checkpoint.
        ValueError: If its config cannot be read, or has no model.
    """

    def __init__(self, trained: Trained, options: Sequence[str] = ()) -> None:
        from mmengine.utils import import_modules_from_strings

        from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
        from lbbt_mm.runs.run_request import override
        self.label = trained.label
        #: What messages call it; :func:`open_runs` adds the checkpoint where several runs have the label.
        self.name = trained.label
        cfg, folder = _read_config(trained.config)
        if not isinstance(cfg.get('model'), dict):
            raise ValueError(f'{trained.config}: has no model; expected the config of a run, as it was trained.')
        self._folder = folder or trained.config.parent
        if cfg.get('custom_imports'):
            import_modules_from_strings(**cfg.custom_imports)
        #: Its config as it was trained.
        self.cfg = override(cfg, options)
        #: The checkpoint of its end.
        self.checkpoint = trained.checkpoint or _latest(folder, self.cfg)
        refuse_unsafe_checkpoints([str(self.checkpoint)], trust=False)

    @cached_property  # mmengine formats the text for a second
    def question(self) -> Dict[str, Any]:
        """What tells this run and its end from others, for :class:`~lbbt_mm.figures.parts.Parts`."""
        return dict(config=self.cfg.pretty_text, checkpoint=stamp(self.checkpoint))

    @cached_property
    def question_of_start(self) -> Dict[str, Any]:
        """The same of its start, which is made of the files that its training began from as well."""
        from .starts import start_files
        files = [stamp(file) for file in start_files(self.cfg, self._folder, self.name)]
        return dict(self.question, start=files) if files else self.question

    def at_end(self, device: str = 'cpu') -> nn.Module:
        """The trained model, in evaluation mode.

        Raises:
            CheckpointMisfit: If the checkpoint is another model's.
        """
        from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
        from lbbt_mm.files.checkpoint_fit import CheckpointMisfit
        from lbbt_mm.language.stores import unwrapped
        model = self.build()
        loaded = load_checkpoint_safely(self.checkpoint)
        state = unwrapped(loaded)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[1:2] or [str(error)]
            raise CheckpointMisfit(f'{self.checkpoint}: does not fit the model of {self.cfg.filename or "its config"} '
                                   f'({first[0].strip():.300}). Give the config that it was trained with.') from None
        return model.to(device).eval()

    def at_start(self, device: str = 'cpu', check: Callable[[nn.Module], Any] = lambda model: None) -> nn.Module:
        """The model as its training began, in evaluation mode; the language weights are read for it.

        Args:
            device: Where to.
            check: Refuses a model that the figure cannot show; it is asked before the start is said to be unknown.

        Raises:
            CheckpointMisfit: If its training began from a checkpoint that does not fit.
            ValueError: If the run has no seed, or was resumed from elsewhere, so that its start is not known.
        """
        from mmengine.logging import MMLogger
        from mmengine.runner import set_random_seed

        from .starts import load_start
        seed = (self.cfg.get('randomness') or {}).get('seed')
        if seed is None:
            check(self.at_end())  # a config of another model is the first thing to say
            raise ValueError(f'{self.name}: its config has no randomness.seed, so its start was drawn anew and is not '
                             'known. Train it with --cfg-options randomness.seed=0.')
        set_random_seed(seed)
        model, logger = self.build(), MMLogger.get_current_instance()
        level = logger.level
        logger.setLevel('WARNING')  # mmengine logs three lines for each parameter
        try:
            model.init_weights()
        finally:
            logger.setLevel(level)
        load_start(model, self.cfg, self._folder, self.checkpoint, self.name)
        return model.to(device).eval()

    def build(self) -> nn.Module:
        """The model as its config describes it, without the weights of a checkpoint."""
        from mmengine.registry import MODELS, init_default_scope
        init_default_scope(self.cfg.get('default_scope', 'mmengine'))
        model = deepcopy(self.cfg.model)
        if self.cfg.get('data_preprocessor') is not None:  # as mmengine's Runner does
            model.setdefault('data_preprocessor', deepcopy(self.cfg.data_preprocessor))
        return MODELS.build(model)

    def loader(self, split: str) -> Dict[str, Any]:
        """The config of one of its data loaders.

        Args:
            split: ``train``, ``val`` or ``test``.

        Raises:
            ValueError: If it has no such data loader.
        """
        found = self.cfg.get(f'{split}_dataloader')
        if found is None:
            raise ValueError(f'{self.name}: its config has no {split}_dataloader. Give another split.')
        return found

    def absent_data(self, split: str, error: OSError) -> FileNotFoundError:
        """The error that says that a data set is not there, and how to say where it is.

        Args:
            split: Of the data set.
            error: What opening it raised.
        """
        key = f'{split}_dataloader.dataset'
        roots = (found for found in walk(self.loader(split).dataset, key) if found[0].endswith('.data_root') and found[1])
        place, root = next(roots, (f'{key}.data_root', ''))
        return FileNotFoundError(f'{self.name}: its data set is not there: {place}={root} ({error.filename or error}). Put '
                                 f'it there, or say where it is: --cfg-options {place}=PATH, or LBBT_DATA_ROOT where the '
                                 'config reads it.')

    def images(self, split: str, most: int, batch_size: int) -> Iterator[Tuple[Tensor, List[Any]]]:
        """Evenly spaced samples of one of the run's data sets, always the same.

        Args:
            split: ``train``, with the labels that it was trained with; ``val``; or ``test``.
            most: How many; all where the data set has fewer.
            batch_size: How many at once.

        Yields:
            tuple: Images as the data set gives them ``(B, C, H, W)``, and data samples; for the model's data preprocessor.

        Raises:
            FileNotFoundError: If the data set is not there.
            ValueError: If the config has no such data set.
        """
        from mmengine.registry import init_default_scope
        from mmengine.runner import Runner

        from lbbt_mm.random_state import random_state_kept, seed_all
        init_default_scope(self.cfg.get('default_scope', 'mmengine'))
        loader = deepcopy(self.loader(split))
        for key in ('batch_sampler', 'persistent_workers', 'prefetch_factor', 'drop_last', 'num_batch_per_epoch'):
            loader.pop(key, None)
        # set, not updated: mmengine's dicts would merge the sampler and data set that are there
        loader.batch_size, loader.num_workers, loader.sampler = batch_size, 0, dict(type='DefaultSampler', shuffle=False)
        loader.dataset = dict(type='lbbt_mm.EvenSubset', num_samples=most, at_most=True, dataset=loader.dataset)
        with random_state_kept():
            seed_all(0)  # of augmentation
            try:
                with redirect_stdout(io.StringIO()):  # of pycocotools
                    batches = Runner.build_dataloader(loader)
                for batch in batches:
                    yield batch['inputs'], batch['data_samples']
            except FileNotFoundError as error:
                raise self.absent_data(split, error) from None


def run_config(folder: Path) -> Config:
    """The config of a run, as it was trained.

    Args:
        folder: Of the run.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it cannot be read.
    """
    return _read_config(folder)[0]


def _read_config(path: Path) -> Tuple[Config, Optional[Path]]:
    """A run's config, and its folder where this is what was given."""
    from lbbt_mm.runs.run_folder import read_request
    from lbbt_mm.runs.run_request import read_config
    if not path.is_dir():
        return read_config(path), None
    request = read_request(path)
    if request:
        return Config(request['config']), path
    dumped = sorted(filter(is_dumped_config, path.glob('*.py')), key=lambda found: found.stat().st_mtime)
    if not dumped:
        raise FileNotFoundError(f'{path}: holds no run; expected a config that tools/train.py wrote there. Give the folder '
                                'of a run, or CONFIG.py,CHECKPOINT.pth.')
    return read_config(dumped[-1]), path


def _latest(folder: Optional[Path], cfg: Config) -> Path:
    from lbbt_mm.launch.work_directory import latest_checkpoint
    latest = latest_checkpoint(folder, cfg)
    if latest is None:
        raise FileNotFoundError(f'{folder}: its run has no complete checkpoint. Train it to its end first.')
    return Path(latest.path)
