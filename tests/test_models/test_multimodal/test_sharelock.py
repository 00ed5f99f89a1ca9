"""ShareLock: which of its parts train, in which batches, and what it predicts for pairs."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement

from lbbt_mm.models.layers.synced_batch_norm import SyncedBatchNorm
from lbbt_mm.registry import MODELS
from tests.closeness import assert_close

TEXT = dict(type='lbbt_mm.MLPProjection', in_channels=10, out_channels=6, hidden_channels=16, num_layers=3)
VISION = dict(type='lbbt_mm.MLPProjection', in_channels=6, out_channels=10, hidden_channels=16, num_layers=2)


def build(**settings):
    torch.manual_seed(0)
    return MODELS.build(dict(type='lbbt_mm.ShareLock', **{**dict(text_projection=TEXT), **settings}))


@pytest.fixture
def pairs():
    torch.manual_seed(1)
    return dict(image=torch.randn(12, 6), text=torch.randn(12, 10))


@pytest.mark.parametrize('settings, width', [
    (dict(), 6), (dict(text_projection=None, vision_projection=VISION), 10),
    (dict(text_projection={**TEXT, 'out_channels': 4}, vision_projection={**VISION, 'out_channels': 4}), 4)],
    ids=['text to vision', 'vision to text', 'both'])
def test_either_direction_or_both(pairs, settings, width):
    model = build(**settings)
    image, text = model(pairs, mode='tensor')
    assert image.shape == text.shape == (12, width)
    assert_close(image.norm(dim=1), torch.ones(12))
    assert_close(text.norm(dim=1), torch.ones(12))
    model(pairs, mode='loss')['loss'].backward()
    assert list(model.parameters()) and all(part.grad is not None for part in model.parameters())


def test_without_a_projection_features_are_only_brought_to_unit_length(pairs):
    assert_close(build().embed_image(pairs['image']), F.normalize(pairs['image'], dim=-1))


def test_the_whole_batch_is_in_one_loss(pairs):
    model = build(text_projection={**TEXT, 'dropout': 0})
    assert_close(model(pairs, mode='loss')['loss'], model.pair_loss(*model.embed(pairs)))


def test_accumulated_is_the_mean_of_the_parts_losses_each_with_batch_norms_of_its_own(pairs):
    settings = dict(text_projection={**TEXT, 'dropout': 0})
    model, plain = build(batch='accumulate', accumulate_size=4, **settings), build(**settings)
    found = model(pairs, mode='loss')['loss']
    parts = [dict(image=image, text=text) for image, text in zip(pairs['image'].split(4), pairs['text'].split(4))]
    assert_close(found, sum(plain(part, mode='loss')['loss'] for part in parts) / 3)
    for (name, ours), theirs in zip(model.state_dict().items(), plain.state_dict().values()):
        assert_close(ours, theirs, msg=name)
    assert (build(**settings)(pairs, mode='loss')['loss'] - found).abs() > 0.01
    norms = [part for part in model.modules() if isinstance(part, SyncedBatchNorm)]
    assert norms and not any(norm.synced for norm in norms) and not model.pair_loss.gather
    model.eval()
    assert_close(model(pairs, mode='loss')['loss'], plain.eval()(pairs, mode='loss')['loss'])


def test_a_step_lowers_the_loss(pairs):
    """By the way that a runner takes."""
    model = build(text_projection={**TEXT, 'dropout': 0})
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-2), clip_grad=dict(max_norm=1))
    losses = [model.train_step(dict(inputs=pairs), wrapper)['loss'].item() for _ in range(20)]
    assert losses[-1] < losses[0] / 2


def test_predictions_are_what_metrics_of_pairs_read(pairs):
    model = build().eval()
    given = [BaseDataElement(metainfo=dict(image_key=f'{row}.png', text_row=row)) for row in range(12)]
    samples = model.val_step(dict(inputs=pairs, data_samples=given))
    image, text = model(pairs, mode='tensor')
    for row, sample in enumerate(samples):
        assert sample.image_key == f'{row}.png' and sample.pair_loss == model.pair_loss.config()
        assert torch.equal(sample.image_embedding, image[row]) and torch.equal(sample.text_embedding, text[row])
    assert len(model.predict(pairs)) == 12


def test_a_checkpoint_has_what_trains_alone():
    names = set(build(vision=dict(backbone=dict(type='VisionTransformer')), text=dict(location='somewhere')).state_dict())
    assert {name.split('.')[0] for name in names} == {'text_projection', 'pair_loss'}


def test_embeddings_of_two_widths(pairs):
    with pytest.raises(ValueError, match='images are 6 wide, those of texts 4; expected one width. Set out_channels of'):
        build(text_projection={**TEXT, 'out_channels': 4})(pairs, mode='loss')


def test_a_batch_that_is_no_whole_number_of_parts(pairs):
    with pytest.raises(ValueError, match='a batch of 12 pairs, and accumulate_size=5; expected a whole number of times'):
        build(batch='accumulate', accumulate_size=5)(pairs, mode='loss')


def test_a_batch_of_one(pairs):
    one = {name: features[:1] for name, features in pairs.items()}
    with pytest.raises(ValueError, match='BatchNorm: found 1 sample in a training batch; expected at least 2'):
        build()(one, mode='loss')


@pytest.mark.parametrize('settings, message', [(dict(batch='half'), "batch='half'; expected one of 'full', 'accumulate'"),
                                               (dict(accumulate_size=1), 'accumulate_size=1; expected a whole number')])
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
