"""A run's loss on fixed images: what it is, what it does not depend on, and its derivatives."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lbbt_mm.analysis.hessian_operator import HessianOperator
from lbbt_mm.figures.losses import FixedLoss, load_batches, refuse_diverged


def loss_of(run, model, most=12, batch_size=5, **options):
    return FixedLoss(model, load_batches(run, model, 'train', most, batch_size), **options)


def test_it_is_the_mean_over_images_with_their_random_labels(opened):
    run = opened()
    model = run.at_end()
    batches = load_batches(run, model, 'train', 12, 5)
    assert [size for size, _ in batches] == [5, 5, 2]
    labels, true = (torch.tensor([int(getattr(sample, key)) for _, batch in batches for sample in batch['data_samples']])
                    for key in ('gt_label', 'true_label'))
    assert not torch.equal(labels, true)
    scores = model(torch.cat([batch['inputs'] for _, batch in batches]), mode='tensor').detach()
    assert FixedLoss(model, batches)() == pytest.approx(float(F.cross_entropy(scores, labels)), rel=1e-5)


@pytest.mark.parametrize('batch_size', [1, 4, 12])
def test_it_does_not_depend_on_the_batch_size(opened, batch_size):
    run = opened()
    model = run.at_end()
    whole, parted = loss_of(run, model, batch_size=12), loss_of(run, model, batch_size=batch_size)
    assert parted() == pytest.approx(whole(), rel=1e-5)
    parameters = whole.used_parameters()
    torch.testing.assert_close(parted.gradient(parameters), whole.gradient(parameters), rtol=1e-3, atol=1e-6)


def test_dropout_and_drop_path_are_off(opened):
    run = opened(proj_drop=0.5, attn_drop=0.5, embed_drop=0.5, drop_path_rate=0.5)
    model = run.at_end()
    loss = loss_of(run, model.train())
    assert loss() == loss()


def test_what_is_frozen_or_not_run_is_no_parameter_of_it(opened):
    run = opened(frozen_stages=1, out_indices=2)
    names = set(loss_of(run, run.at_end()).used_parameters())
    assert {name.split('.')[2] for name in names if 'blocks' in name} == {'1', '2'}
    assert 'backbone.pos_embed' not in names and 'head.fc.weight' in names


class Branches(torch.nn.Module):
    """A model whose second weight is used for one of its batches only, as a detector's head for masks may be."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.never = (torch.nn.Parameter(torch.tensor([2.])) for _ in range(3))

    def forward(self, inputs, mode):
        if not inputs:
            return dict(loss=inputs)  # nothing to learn from
        return dict(loss=self.first**2 * inputs + (self.second**3 if inputs > 1 else 0))

    def parse_losses(self, losses):
        return losses['loss'].sum(), losses


@pytest.mark.parametrize('order', [(1., 3.), (3., 1.)])
def test_parameters_that_some_batches_use(order):
    loss = FixedLoss(Branches(), [(1, dict(inputs=torch.tensor([value]))) for value in order])
    parameters = loss.used_parameters()
    assert list(parameters) == ['first', 'second']
    assert {name: part.tolist() for name, part in loss.gradient(parameters).items()} == dict(first=[8.], second=[6.])
    assert (HessianOperator(loss.terms, tuple(parameters.values())) @ torch.ones(2)).tolist() == [4., 6.]


@pytest.mark.parametrize('values, message', [
    ((1., 3., 0., 0.), r'its loss on 2 of 4 batches \(the first is number 3\) depends on no trainable parameter; expected '
     'images in each that the model learns from. Give a larger --batch-size'),
    ((0., 0.), 'its loss depends on no trainable parameter; expected a run that trains')])
def test_batches_that_use_no_parameter(values, message):
    loss = FixedLoss(Branches(), [(1, dict(inputs=torch.tensor([value]))) for value in values])
    assert loss() == pytest.approx((4 * sum(values) + 8 * (3. in values)) / len(values)), 'the loss itself is known'
    with pytest.raises(ValueError, match=message):
        loss.used_parameters()


class Drawing(Branches):
    """A model whose loss is of boxes that are drawn, as a two-stage detector's."""

    def forward(self, inputs, mode):
        return dict(loss=self.first * torch.rand(1) + np.random.rand())


def test_what_a_loss_draws_is_the_same_each_time():
    loss = FixedLoss(Drawing(), [(1, dict(inputs=torch.ones(1)))] * 2)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = loss()
    assert torch.equal(torch.rand(1), expected), 'nothing else notices'
    assert loss() == first


@pytest.mark.parametrize('model_type', ['gpt2', 'qwen3'])
def test_it_can_be_differentiated_twice_however_the_run_was_trained(opened, model_type):
    """The product with a vector is a difference of gradients, with the kernel that is chosen and with recomputation."""
    run = opened(model_type=model_type, with_cp=True, attention_kernel='chunked')
    model = run.at_end().double()
    batches = load_batches(run, model, 'train', 6, 4)
    for _, batch in batches:
        batch['inputs'] = batch['inputs'].double()
    loss = FixedLoss(model, batches, twice=True)
    parameters = loss.used_parameters()
    along = {name: torch.randn_like(parameter) for name, parameter in parameters.items()}
    vector = torch.cat([part.flatten() for part in along.values()])
    product = HessianOperator(loss.terms, tuple(parameters.values())) @ vector
    gradients = []
    for length in (1e-6, -2e-6, 1e-6):
        for name, parameter in parameters.items():
            parameter.data += length * along[name]
        gradients.append(torch.cat([part.flatten() for part in loss.gradient(parameters).values()]))
    assert product.norm() > 1e-2
    difference = (gradients[0] - gradients[1]) / 2e-6
    torch.testing.assert_close(product, difference, rtol=1e-4, atol=1e-5 * float(product.abs().max()))


def test_a_model_that_diverged(opened):
    model = opened().at_end()
    refuse_diverged('a', model)
    model.backbone.norm.weight.data[3] = float('inf')
    with pytest.raises(ValueError, match='^a: backbone.norm.weight has values that are not finite, so the run has diverged'):
        refuse_diverged('a', model)
