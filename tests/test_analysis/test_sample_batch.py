"""Batches in the forms that mm's codebases give them."""
import pytest
import torch

from lbbt_mm.analysis.sample_batch import count_samples, take_samples, with_gradients


class Sample:
    """What a codebase says of an image."""

    def __init__(self, label):
        self.label = label


IMAGES = torch.arange(5.)[:, None].expand(5, 3)
LABELS = torch.arange(5)
FORMS = {
    'collated': dict(x=IMAGES, y=LABELS),
    'a pair': (IMAGES, LABELS),
    'with data samples': dict(inputs=IMAGES, data_samples=[Sample(label) for label in range(5)]),
    'a list of images': dict(inputs=list(IMAGES), data_samples=[Sample(label) for label in range(5)]),
    'two views': dict(inputs=[IMAGES, IMAGES], data_samples=[Sample(label) for label in range(5)]),
    'with what is no sample': dict(x=IMAGES, y=LABELS, scale=torch.tensor(2.), mode='loss'),
}


def labels(batch):
    """The labels in a batch, images and others, which are the same numbers."""
    if isinstance(batch, dict):
        return [labels(value) for key, value in batch.items() if key not in ('scale', 'mode')]
    if isinstance(batch, Sample):
        return batch.label
    if isinstance(batch, torch.Tensor):
        pixels = batch[:, 0] if batch.ndim == 2 else batch[:1] if batch.is_floating_point() else batch
        return pixels.long().tolist()
    return [labels(part) for part in batch]


@pytest.mark.parametrize('form', FORMS)
def test_samples_are_counted_and_taken(form):
    batch = FORMS[form]
    assert count_samples(batch) == 5
    part = take_samples(batch, [0, 4])
    assert type(part) is type(batch)
    flat = str(labels(part)).replace('[', '').replace(']', '').split(', ')
    assert flat == ['0', '4'] * (3 if form == 'two views' else 2)
    if form == 'with what is no sample':
        assert part['scale'] is batch['scale'] and part['mode'] == 'loss'


@pytest.mark.parametrize('form', FORMS)
def test_a_loss_can_be_differentiated_by_the_images(form):
    batch, leaves = with_gradients(FORMS[form])
    assert len(leaves) == {'a list of images': 0, 'two views': 2}.get(form, 1)
    if leaves:
        images = batch[0] if isinstance(batch, tuple) else next(iter(batch.values()))
        images = images[0] if isinstance(images, list) else images
        images.mul_(3)  # as a model may
        images.sum().backward()
        assert torch.equal(leaves[0].grad, torch.full((5, 3), 3.))
    assert torch.equal(IMAGES[:, 0], torch.arange(5.)) and not IMAGES.requires_grad


def test_no_batch():
    with pytest.raises(ValueError, match='A batch is a NoneType; expected tensors or lists with an entry for each sample'):
        count_samples(None)
