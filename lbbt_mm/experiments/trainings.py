"""The trainings of a plan's runs: each in its folder, a probe below its run and from that one's checkpoint."""
from functools import partial
from typing import Optional, Sequence

from lbbt_mm.launch.config_options import option
from lbbt_mm.runs.run_folder import read_request
from lbbt_mm.runs.run_request import read_config
from lbbt_mm.runs.training_pool import Chain
from lbbt_mm.runs.training_run import ENDED, OtherRunError, TrainingRun
from .plan import Plan, Run
from .stages import Stage


def bare_training(plan: Plan, run: Run, stage: Stage) -> TrainingRun:
    """What is in the folder of a run's stage, whatever it was asked for."""
    folder = plan.folder(run)
    return TrainingRun(stage.config, folder / 'probes' / stage.name if stage.bridge_init else folder)


def make_training(plan: Plan, run: Run, stage: Optional[Stage] = None) -> TrainingRun:
    """The training of a run in a stage; a setting or a checkpoint that is not known yet is written in <>.

    Args:
        plan: The plan.
        run: The run.
        stage: The stage. Defaults to the first.

    Raises:
        FileNotFoundError: If the run has finished and has no best checkpoint, which the plan asks for.
    """
    stage = stage or plan.stages[0]
    options, also = plan.overrides(run, stage), None
    bridge = bare_training(plan, run, plan.stages[0])
    if stage.bridge_init:
        checkpoint = f'{stage.bridge_init}.checkpoint'
        options.append(option(checkpoint, bridge.checkpoint(plan.checkpoint, must_exist=False))
                       if bridge.status == 'finished' else
                       f'{checkpoint}=<{plan.checkpoint} checkpoint of {bridge.work_dir}>')
        also = dict(bridge=bridge.id)
    work_dir = bare_training(plan, run, stage).work_dir
    return TrainingRun(stage.config, work_dir, options, plan.processes, also, base=stage.base)


def make_chain(plan: Plan, run: Run, probes: Sequence[Stage]) -> Chain:
    """A run and some of its probes, one after the other."""
    def step(stage: Stage) -> TrainingRun:
        """The training of a stage, whose config and, of a probe, whose checkpoint have to be what they were."""
        training = make_training(plan, run, stage)
        if training.status not in ENDED:
            if read_config(stage.config).to_dict() != stage.base.to_dict():
                raise OtherRunError(f'{stage.config} has changed since this command began, so its runs would not be '
                                    'matched. Undo the change, or start an experiment in another folder.')
            if stage.bridge_init:
                bare_training(plan, run, plan.stages[0]).checkpoint(plan.checkpoint)  # raises if it was removed
        return training

    return Chain(str(run), [partial(step, stage) for stage in (plan.stages[0], *probes)])


def is_outdated(probe: TrainingRun, bridge: TrainingRun) -> bool:
    """Whether a probe is of a run that was in the folder before; the path of its checkpoint is the same."""
    known = probe.recorded.get('also', {})
    return probe.has_progress and not (bridge.has_progress and known.get('bridge', bridge.id) == bridge.id)


def check_probes(plan: Plan, run: Run, fresh: bool) -> None:
    """Refuse probes that are not ours, or, unless they are removed, that are of an earlier run.

    Raises:
        OtherRunError: If there are such.
    """
    bridge = bare_training(plan, run, plan.stages[0])
    for probe in (bare_training(plan, run, stage) for stage in plan.stages[1:]):
        read_request(probe.work_dir)
        if not fresh and is_outdated(probe, bridge):
            raise OtherRunError(
                f'{probe.work_dir} was trained on an earlier bridge: that of {bridge.work_dir} was trained anew since, or '
                'is to be. Remove the probe\'s folder to train it on the new one, or add --fresh to this command, which '
                'removes the bridge and these probes and trains all anew.')
