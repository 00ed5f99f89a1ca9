"""RectifiedRecognizer: the rectifier in mmaction2's video transformer; tried where mmaction2 is installed."""
import pytest
import torch
from mmengine.registry import init_default_scope

from lbbt_mm.registry import MODELS

try:
    import mmaction.models  # noqa: F401
    from mmaction.structures import ActionDataSample
except (ImportError, AssertionError):  # it refuses newer releases of mmcv
    ActionDataSample = None
installed = pytest.mark.skipif(ActionDataSample is None, reason='mmaction2 is not installed, or does not import')


def model_config(language, arm='language', **options):
    vit = dict(type='VisionTransformer', img_size=32, patch_size=16, embed_dims=16, depth=2, num_heads=2, num_frames=4)
    return dict(type='lbbt_mm.RectifiedRecognizer', backbone=vit,
                cls_head=dict(type='TimeSformerHead', num_classes=3, in_channels=16, average_clips='prob'),
                rectifier=dict(type='lbbt_mm.LanguageRectifier',
                               language=dict(checkpoint=str(language), blocks=-1, arm=arm)), **options)


@pytest.mark.skipif(ActionDataSample is not None, reason='mmaction2 is installed')
def test_without_mmaction2_it_says_what_to_install(folders):
    with pytest.raises(Exception, match=r"lbbt_mm.RectifiedRecognizer needs mmaction, which .*lbbt_mm\[video\]"):
        MODELS.build(model_config(folders['gpt2']))


@installed
@pytest.mark.parametrize('arm', ('language', 'mappers', 'none'))
@pytest.mark.parametrize('path', ('auxiliary', 'inserted'))
def test_every_parameter_trains(folders, arm, path):
    init_default_scope('mmaction')
    model = MODELS.build(model_config(folders['gpt2'], arm, path=path)).train()
    model.init_weights()
    samples = [ActionDataSample() for _ in range(2)]
    for index, sample in enumerate(samples):
        getattr(sample, 'set_gt_label', getattr(sample, 'set_gt_labels', None))([index])
    total, logged = model.parse_losses(model.loss(torch.randn(2, 1, 3, 4, 32, 32), samples))
    total.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    if path == 'auxiliary':
        main, auxiliary = (float(logged[f'{name}_unweighted']) for name in ('main', 'aux'))
        assert float(total) == pytest.approx(0.65 * main + 0.35 * auxiliary)
