"""A test's config, and what ``tools/test.py`` adds to it: test-time augmentation, painted pictures, dumped predictions."""
import argparse
from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from mmengine.config import Config, ConfigDict

from lbbt_mm.checks import check_datasets, check_settings, raise_fatal
from lbbt_mm.checks.tta import tta_problems
from lbbt_mm.config_keys import find_types
from lbbt_mm.files.overwriting import keep_training_config, refuse_overwriting_config
from lbbt_mm.files.safe_checkpoints import refuse_unsafe_checkpoints
from lbbt_mm.text_table import render_table
from .settings import load_config

#: default_scope -> what averages an image's predictions with its mirror image's, and the last step of each pipeline
_TTA = dict(
    mmdet=(dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)),
           dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
                                                 'flip_direction'))),
    mmpretrain=(dict(type='AverageClsScoreTTA'), dict(type='PackInputs')))


def load_test_config(args: argparse.Namespace) -> Config:
    """Read the config of a test, and check it, the test set and the checkpoint.

    Args:
        args: The options of ``tools/test.py``.

    Raises:
        ValueError: If the test could not run, there is no such checkpoint, or a config would be overwritten.
    """
    cfg = load_config(args, ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'))
    check_settings(cfg, ['test_dataloader'])
    refuse_unsafe_checkpoints([args.checkpoint], args.trust_checkpoint)
    cfg.load_from, cfg.resume = args.checkpoint, False
    _take_all_of_it(cfg)
    if args.work_dir is None:  # the runner dumps its config: not over the one that training left for resuming
        cfg.work_dir = str(Path(cfg.work_dir) / 'test')
    refuse_overwriting_config(args.config, cfg.work_dir)
    keep_training_config(cfg)
    if args.amp:
        cfg.test_cfg.fp16 = True  # mmengine's name; its autocast is bfloat16 on CPUs
    check_datasets(cfg, loaders=('test_dataloader', ))
    return cfg


def _take_all_of_it(cfg: Config) -> None:
    """A config's ``leave_out`` is of the checkpoint that its training began from; what it trained is tested whole."""
    for part in (cfg, *(hook for _, hook in find_types(cfg.get('custom_hooks'), 'CheckpointFitHook'))):
        part.pop('leave_out', None)


def tests_of(cfg: Config, tta: bool, show_dir: Optional[str]) -> Dict[str, Config]:
    """The tests that are asked for: one, or those of a segmentor without and with test-time augmentation.

    Args:
        cfg: The run's config.
        tta: Whether to augment.
        show_dir: Folder for pictures, if there are to be any.

    Returns:
        dict[str, Config]: Name of a test -> its config; that of the last is ``cfg``.
    """
    tests = dict(test=cfg)
    if tta and cfg.get('default_scope') == 'mmseg':
        tests = single_and_multi_scale(cfg)
    elif tta:
        enable_tta(cfg)
    if show_dir:
        enable_painting(cfg, show_dir)
    return tests


def enable_tta(cfg: Config) -> None:
    """Wrap model and pipeline for test-time augmentation.

    A config's own ``tta_model`` and ``tta_pipeline`` are used where it has them; otherwise detection and classification
    average an image with its mirror image, as mmdet's and mmpretrain's test tools do. Segmentation is tested without
    augmentation too, see :func:`single_and_multi_scale`.

    Raises:
        ValueError: If the config has neither and its codebase has no default.
    """
    scope = cfg.get('default_scope')
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        if scope not in _TTA:
            raise ValueError(f'--tta: the config has no tta_model and tta_pipeline, and default_scope={scope!r} has no '
                             'default for them. Add both to the config.')
        model, pack = deepcopy(_TTA[scope])
        flips = [dict(type='RandomFlip', prob=1.), dict(type='RandomFlip', prob=0.)]
        before = _innermost(cfg.test_dataloader.dataset).pipeline[:-1]  # annotations come before the flip
        cfg.setdefault('tta_model', model)
        cfg.setdefault('tta_pipeline', [*before, dict(type='TestTimeAug', transforms=[flips, [pack]])])
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    _innermost(cfg.test_dataloader.dataset).pipeline = cfg.tta_pipeline


def single_and_multi_scale(cfg: Config) -> Dict[str, Config]:
    """The two tests of a segmentor that papers report: ``ss`` as configured, ``ms`` with test-time augmentation.

    Args:
        cfg: The run's config with ``tta_model`` and ``tta_pipeline``.

    Returns:
        dict[str, Config]: Name of the test -> its config, each with a folder of its own below the work directory.
    """
    tests = dict(ss=deepcopy(cfg), ms=cfg)
    enable_tta(cfg)
    raise_fatal(tta_problems(cfg, ('test_dataloader', )))
    for name, test in tests.items():
        test.work_dir = str(Path(test.work_dir) / name)
        # the runners of one process would share a logger or a visualizer of the same name
        test.experiment_name = f'{Path(test.filename).stem}_{name}'
        if test.get('visualizer'):
            test.visualizer.name = f'{test.visualizer.get("name", "visualizer")}_{name}'
    return tests


def scale_table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """A table of segmentation scores, with a row for each test.

    Args:
        scores: Name of the test -> its metrics by name.
    """
    names = list(dict.fromkeys(name for metrics in scores.values() for name in metrics))
    rows = [(dict(ss='single (ss)', ms='multiple, flipped (ms)').get(test, test),
             *(f'{metrics[name]:.2f}' if name in metrics else '-' for name in names)) for test, metrics in scores.items()]
    return render_table('', ['scales', *names], rows)


def _innermost(dataset: ConfigDict) -> ConfigDict:
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    if 'pipeline' not in dataset:
        raise ValueError('--tta: the test data set is a concatenation without a pipeline of its own. Give the config a '
                         'test_dataloader with one data set.')
    return dataset


def enable_painting(cfg: Config, show_dir: str) -> None:
    """Have the codebase's visualisation hook write a picture of each test image's prediction.

    Args:
        cfg: The run's config.
        show_dir: Folder for the pictures; for detection it lies below the run's time-stamped folder, as in mmdet.
    """
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise ValueError('--show-dir needs default_hooks.visualization in the config; found none. Inherit the default '
                         'runtime of your codebase.')
    if cfg.get('default_scope') == 'mmpretrain':
        hook.update(enable=True, out_dir=show_dir)
        return
    hook['draw'] = True
    if cfg.get('default_scope') == 'mmdet':
        hook['test_out_dir'] = show_dir
    if 'visualizer' not in cfg:
        raise ValueError('--show-dir needs a visualizer in the config; found none. Inherit the default runtime of your '
                         'codebase.')
    cfg.visualizer['save_dir'] = show_dir


def dump_metric(scope: Optional[str], out: str) -> Dict[str, Any]:
    """The metric that writes predictions to a file instead of scoring them.

    Args:
        scope: The config's ``default_scope``.
        out: Path ending in ``.pkl`` or ``.pickle``.
    """
    return dict(type='mmdet.DumpDetResults' if scope == 'mmdet' else 'DumpResults', out_file_path=out)
