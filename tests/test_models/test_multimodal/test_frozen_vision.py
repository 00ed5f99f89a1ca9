"""FrozenVision: a backbone with all of its weights, wherever a checkpoint keeps them, which no training changes."""
import pytest
import torch

from lbbt_mm.files.checkpoint_fit import CheckpointMisfit
from lbbt_mm.models.multimodal.frozen_vision import FrozenVision, load_backbone, pretrained_step
from tests.tiny_vision import VIT, build_vision

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def backbone():
    return build_vision().backbone


@pytest.fixture
def write(tmp_path, backbone):
    """Writes the backbone's weights under a prefix, with others beside; returns the path."""
    def write(prefix='backbone.', wrap=lambda state: dict(state_dict=state), **others):
        state = {f'{prefix}{name}': tensor for name, tensor in backbone.state_dict().items()}
        torch.save(wrap({**state, **others}), tmp_path / 'vit.pth')
        return str(tmp_path / 'vit.pth')
    return write


def with_step(path, **options):
    return dict(VIT, init_cfg=dict(type='Pretrained', checkpoint=path, **options))


@torch.no_grad()
def same(vision, backbone):
    return torch.equal(vision.features(IMAGES), backbone(IMAGES)[0])


def test_of_a_classifier_or_of_a_backbone_alone(write, backbone):
    head = {'head.fc.weight': torch.zeros(3, 16)}
    for path in (write(**head), write(''), write('', wrap=lambda state: state)):
        assert same(FrozenVision(VIT, path), backbone)


def test_the_config_s_own_step_says_where_its_weights_are(write, backbone):
    for prefix in ('student', 'student.'):
        assert same(FrozenVision(with_step(write('student.', **{'backbone.cls_token': torch.zeros(1)}), prefix=prefix)),
                    backbone)


def test_a_checkpoint_that_is_named_comes_first(write, backbone):
    assert same(FrozenVision(with_step('none.pth'), write()), backbone)


def test_it_stays_as_it_is(write):
    vision, config = FrozenVision(VIT, write()), dict(VIT)
    vision.backbone.train()
    assert VIT == config and not any(module.training for module in vision.backbone.modules())
    assert not any(parameter.requires_grad for parameter in vision.backbone.parameters())
    found = vision.features(IMAGES.clone().requires_grad_())
    assert found.shape == (2, 16) and found.dtype == torch.float32 and not found.requires_grad


def test_its_identity_is_that_of_weights_and_pooling(write, backbone):
    path = write()
    identity = FrozenVision(VIT, path).identity
    assert identity == FrozenVision(dict(VIT), write('')).identity, 'not where they are'
    assert FrozenVision(VIT, path, 'mean').identity == dict(identity, pooling='mean') != identity
    backbone.cls_token.data[0, 0, 0] += 1e-6
    assert FrozenVision(VIT, write()).identity['revision'] != identity['revision']


def test_the_first_step_that_loads():
    step = dict(type='Pretrained', checkpoint='x.pth')
    assert pretrained_step(dict(init_cfg=None), dict(init_cfg=[dict(type='TruncNormal', layer='Linear'), step])) == step
    assert pretrained_step(dict(init_cfg=dict(step, checkpoint='')), dict(init_cfg=step)) == step
    for parts in ((), (dict(), dict(init_cfg=[])), (dict(init_cfg=dict(type='Pretrained', checkpoint=None)), )):
        with pytest.raises(ValueError, match='the config names no weights of the vision model'):
            pretrained_step(*parts)


@pytest.mark.parametrize('change, message', [
    (lambda state: state.pop('backbone.cls_token'), 'does not fit the backbone of ViT .*cls_token'),
    (lambda state: state.update({'backbone.cls_token': torch.zeros(1, 1, 8)}), 'does not fit the backbone of ViT .*cls'),
    (lambda state: state.update({'backbone.more': torch.zeros(1)}), 'does not fit the backbone of ViT .*more')])
def test_a_checkpoint_of_another_backbone(backbone, write, tmp_path, change, message):
    path = write()
    state = torch.load(path, weights_only=True)['state_dict']
    change(state)
    torch.save(dict(state_dict=state), path)
    with pytest.raises(CheckpointMisfit, match=message):
        load_backbone(backbone, path, 'ViT')


@pytest.mark.parametrize('content', [[1, 2], {}, dict(state_dict={3: torch.zeros(1)}), torch.zeros(3),
                                     dict(state_dict={'backbone.cls_token': 3}), dict(state_dict=[1])])
def test_what_is_no_checkpoint(backbone, tmp_path, content):
    torch.save(content, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match='odd.pth: '):
        load_backbone(backbone, str(tmp_path / 'odd.pth'), 'ViT')


def test_a_file_that_is_not_there(backbone):
    with pytest.raises(ValueError, match='none.pth: no such checkpoint file'):
        load_backbone(backbone, 'none.pth', 'ViT')
