"""One training in a process of its own, that can be interrupted, resumed, and asked what came out."""
import fcntl
import json
import os
import sys
import uuid
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from mmengine.config import Config

from lbbt_mm.checks import check_settings
from lbbt_mm.config_keys import get_key, language_keys
from lbbt_mm.files.run_records import Record, failed_of_nan, loss_is_finite, read_records, validation_is_finite
from lbbt_mm.files.whole_files import write_whole
from lbbt_mm.language.fingerprint import fingerprint
from lbbt_mm.launch.checkpoint_owner import owns
from lbbt_mm.launch.work_directory import (Latest, checkpoint_folder, latest_checkpoint, only_training,
                                           refuse_other_owner)
from lbbt_mm.registry import type_name
from .run_checkpoints import find_checkpoint
from .run_folder import OtherRunError, nested_runs, read_request, refuse_stray_run, remove_checkpoints, remove_run
from .run_progress import LogFollower, TrainingProgress
from .run_request import as_json, differences, override, read_config
from .training_process import TrainingProcess, end_of_output

#: What Python is given to start the train tool, which is part of the package.
TRAIN_TOOL = ('-m', 'lbbt_mm.launch.train')
#: What says where and how a run ran, not which experiment it is.
_PLACES = ('work_dir', 'launcher')
#: How a run that has come to its end is called.
ENDED = ('finished', 'diverged')


class TrainingFailed(RuntimeError):
    """A training ended with an error; the message has the end of its log."""


class TrainingRun:
    """A training that was asked for, in its folder.

    The folder holds, beside what ``tools/train.py`` writes: ``train.log``, the output of all attempts; ``request.json``,
    what was asked for and the run's id; ``done``, the mark of a run that ended, with the word ``finished`` or
    ``diverged``; ``failed``, that of one that ended with another error and will be resumed.

    Args:
        config: The config file.
        work_dir: The run's folder.
        options: Overrides of the config as ``--cfg-options`` takes them, ``'KEY=VALUE'``.
        processes: Number of ranks; more than 1 are started by torchrun.
        also: What else makes the experiment, as JSON can hold it; for example a fingerprint of the data. A run that was
            started before a key was known here may have any value of it.
        base: What the config file says, where the caller has read it already.
    """

    def __init__(self, config: Path, work_dir: Path, options: Sequence[str] = (), processes: int = 1,
                 also: Optional[Mapping[str, Any]] = None, base: Optional[Config] = None) -> None:
        self.config = Path(config)
        self.work_dir = Path(work_dir)
        self.options = tuple(options)
        self.processes = processes
        self.also = dict(also or {})
        self._base = base
        self._process = TrainingProcess()

    @property
    def command(self) -> List[str]:
        """The command line, as a user would type it."""
        several = []
        if self.processes > 1:  # a free port of its own
            several = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={self.processes}']
        launcher = ['--launcher', 'pytorch'] if several else []
        options = ['--cfg-options', *self.options] if self.options else []
        return [sys.executable, *several, *TRAIN_TOOL, str(self.config), *launcher, '--work-dir', str(self.work_dir),
                '--resume', *options]

    @property
    def log(self) -> Path:
        """The output of the training, of all attempts."""
        return self.work_dir / 'train.log'

    @property
    def status(self) -> str:
        """``finished``, ``diverged``, ``failed``, ``interrupted`` (or running now), or ``missing``."""
        if self._outcome:
            return self._outcome
        if (self.work_dir / 'failed').is_file():
            return 'failed'
        return 'interrupted' if (self.work_dir / 'request.json').is_file() else 'missing'

    @property
    def _outcome(self) -> Optional[str]:
        """How the run ended; None while it has not, or if the mark of that is damaged: it is resumed and ends at once."""
        try:
            word = (self.work_dir / 'done').read_text().strip()
        except (OSError, ValueError):
            return None
        return word if word in ENDED else None

    @property
    def latest(self) -> Optional[Latest]:
        """The checkpoint that a resumption goes on from, as ``tools/train.py`` finds it; None if it would start anew."""
        return latest_checkpoint(self.work_dir, self.recorded.get('config'))

    @property
    def recorded(self) -> Dict[str, Any]:
        """What ``request.json`` holds; empty if the run has not started."""
        return read_request(self.work_dir) or {}

    @property
    def id(self) -> Optional[str]:
        """What tells this training from one that is started anew in the same folder; resumptions keep it."""
        return self.recorded.get('id')

    @property
    def has_progress(self) -> bool:
        """Whether there is something that a resumption would go on from, or that is done."""
        return self._outcome is not None or self.latest is not None

    @cached_property
    def request(self) -> Dict[str, Any]:
        """What is asked for: the config with its bases, environment variables and overrides filled in."""
        cfg = override(self._base or read_config(self.config), self.options).to_dict()
        for key in _PLACES:
            cfg.pop(key, None)
        # what tells a language model from others in the same place; None of one that is not there
        prints = {key: fingerprint(get_key(cfg, key))
                  for key in (f'{key}.checkpoint' for key in language_keys(cfg.get('model')))}
        return as_json(dict(config=cfg, options=self.options, processes=self.processes, also={**prints, **self.also}))

    def check(self) -> None:
        """Refuse a folder that another experiment uses; one where an attempt left nothing to resume is free.

        Raises:
            OtherRunError: If the folder holds a run that differs, or one that was started in another way.
            ValueError: If the config is of a run that cannot start, or whose metrics nobody could read afterwards.
        """
        self.check_config()
        if not self.recorded:
            refuse_stray_run(self.work_dir)
        elif self.has_progress:
            found = self._differences()
            if found:
                more = f' and {len(found) - 3} more' if len(found) > 3 else ''
                raise OtherRunError(f'{self.work_dir} holds another experiment: {"; ".join(found[:3])}{more}. Choose '
                                    'another folder, or start afresh (--fresh), which removes that run.')

    def check_config(self) -> None:
        """Refuse a config whose run cannot start, or whose metrics nobody could read afterwards.

        Raises:
            ValueError: If it is one.
        """
        cfg = Config(self.request['config'])
        check_settings(cfg)
        visualizer = cfg.get('visualizer') or {}
        backends = visualizer.get('vis_backends', [dict(type='LocalVisBackend')]) or []
        if not any(type_name(backend) == 'LocalVisBackend' for backend in backends):
            raise ValueError(f'{self.config}: visualizer.vis_backends={backends!r} has no LocalVisBackend, which writes the '
                             "metrics that are collected here. Add dict(type='LocalVisBackend').")
        refuse_other_owner(self.work_dir, self.request['config'], is_over=self._outcome is not None)

    def _differences(self) -> List[str]:
        """What is asked for now and was not, or the other way round; what else makes the experiment, as far as it says."""
        found, asked = dict(self.recorded or self.request), dict(self.request)
        both = [key for key, value in asked['also'].items() if key in found.get('also', {}) and value is not None]
        for request in (found, asked):
            request['also'] = {key: request['also'][key] for key in both}
        return [phrase for key in ('config', 'processes', 'also')
                for phrase in differences(found.get(key), asked[key], '' if key == 'config' else key)]

    def clear(self) -> List[Path]:
        """Remove what the run and its probes have written, so that it starts afresh; a folder without a run is left alone.

        Returns:
            list[Path]: What else is in the folder, and was left.

        Raises:
            OtherRunError: If the folder's ``request.json`` is not one of ours.
            TrainingFailed: If the run or one of its probes is running.
            ValueError: If a training is running there that was started in another way.
        """
        if not self.recorded:
            return []
        with ExitStack() as alone:
            elsewhere = []
            for folder in (self.work_dir, *nested_runs(self.work_dir)):
                run = TrainingRun(self.config, folder)
                config = run.recorded.get('config')
                alone.enter_context(run._alone())
                place = checkpoint_folder(folder, config)
                if owns(folder, place) and place != str(folder):
                    elsewhere.append((Path(place), config))
                alone.enter_context(only_training(folder, config if owns(folder, place) else None))
            for place, config in elsewhere:
                remove_checkpoints(place, config)
            return remove_run(self.work_dir)

    def run(self, on_progress: Optional[Callable[[TrainingProgress], None]] = None,
            env: Optional[Mapping[str, str]] = None) -> str:
        """Train to the end: start, go on from the last checkpoint, or do nothing if that is done.

        Args:
            on_progress: Called when the log has news.
            env: Environment variables to set for the process.

        Returns:
            str: ``finished``, ``diverged``, or ``interrupted`` after :meth:`stop`.

        Raises:
            OtherRunError: If the folder holds another experiment.
            TrainingFailed: If the training ends with an error that is not divergence, or is running already.
        """
        self.check()
        if self.status in ENDED:
            return self.status
        differs = self._differences()  # reads the config: one that is not there leaves no folder
        self.work_dir.mkdir(parents=True, exist_ok=True)
        if differs:
            self.clear()  # an attempt that left no checkpoint; its scalars are not this run's
        with self._alone() as lock:
            known = self.id if self.has_progress else None  # from the beginning it is another training
            request = dict(self.request, id=known or uuid.uuid4().hex)
            write_whole(self.work_dir / 'request.json', json.dumps(request, indent=1))
            (self.work_dir / 'failed').unlink(missing_ok=True)
            begin = self.log.stat().st_size if self.log.is_file() else 0
            follower = LogFollower(self.log, begin, self.request['config'])
            # modules are found as tools/train.py finds them: not in the folder that a command is given in
            env = {**os.environ, 'PYTHONSAFEPATH': '1', **(env or {})}
            returncode = self._process.run(self.command, self.log, env, lock, partial(follower.tell, on_progress))
            return self._conclude(returncode, begin)

    def stop(self) -> None:
        """End the training, from another thread; what it saved stays, and :meth:`run` goes on from there."""
        self._process.stop()

    def records(self) -> Dict[str, List[Record]]:
        """Scalars over all resumptions, see :func:`~lbbt_mm.files.run_records.read_records`."""
        return read_records(self.work_dir)

    def checkpoint(self, which: str = 'last', must_exist: bool = True) -> Path:
        """The checkpoint that the run left, see :func:`~lbbt_mm.runs.run_checkpoints.find_checkpoint`."""
        return find_checkpoint(self.work_dir, self.recorded.get('config'), which, must_exist)

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the folder's lock, which the training inherits: it lasts as long as either process lives."""
        with open(self.work_dir / 'lock', 'a') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise TrainingFailed(f'{self.work_dir}: a training is running in this folder. Wait for it or end it, then '
                                     'run the command again.') from error
            yield lock.fileno()

    def _conclude(self, returncode: int, begin: int) -> str:
        with open(self.log, 'rb') as log:
            log.seek(begin)
            output = log.read().decode(errors='replace')
        records = self.records()
        if returncode == 0 and (any(records.values()) or self.latest):
            outcome = 'finished' if loss_is_finite(records) and validation_is_finite(records) else 'diverged'
        elif self._process.was_stopped:
            return 'interrupted'
        elif not loss_is_finite(records) or failed_of_nan(output):
            outcome = 'diverged'
        else:
            write_whole(self.work_dir / 'failed', f'{returncode}\n')
            ended = f'exit status {returncode}' if returncode else 'exit status 0, without a record or a checkpoint'
            raise TrainingFailed(f'{end_of_output(output)}\nThe training in {self.work_dir} failed with {ended}; its log '
                                 f'is {self.log}. When the cause is removed, the same command resumes it.')
        write_whole(self.work_dir / 'done', f'{outcome}\n')
        return outcome
