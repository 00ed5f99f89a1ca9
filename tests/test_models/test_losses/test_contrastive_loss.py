"""What contrastive losses share: when ranks share pairs, what a checkpoint and a config of one hold."""
import pytest
import torch

from lbbt_mm.models.losses.contrastive_loss import ContrastiveLoss


class Seen(ContrastiveLoss):
    """Notes what it is given."""

    def loss(self, image, text, gather):
        self.given = image, text, gather
        return self.scale * image.sum()


@pytest.mark.parametrize('gather', [True, False])
def test_ranks_share_pairs_in_training_alone(gather):
    loss, pairs = Seen(2., False, 8, gather), (torch.ones(3, 2), torch.ones(3, 2))
    assert loss(*pairs) == 12 and loss.given[2] is gather
    loss.eval()(*pairs)
    assert loss.given[2] is False


def test_pairs_come_in_float32_whatever_the_precision_around():
    loss = Seen(2., False, 8, True)
    with torch.autocast('cpu', torch.bfloat16):
        loss(torch.ones(3, 2, dtype=torch.bfloat16), torch.ones(3, 2, dtype=torch.float64))
        assert all(part.dtype == torch.float32 for part in loss.given[:2])


@pytest.mark.parametrize('learned', [True, False])
def test_the_scale_stands_in_checkpoints_by_its_logarithm_and_in_the_config_as_it_is_now(learned):
    loss = Seen(5., learned, 8, True)
    assert loss.state_dict()['log_scale'].exp().item() == pytest.approx(5) and len([*loss.parameters()]) == learned
    loss.load_state_dict(dict(log_scale=torch.tensor(2.).log()))
    assert loss.config() == dict(type='lbbt_mm.Seen', scale=pytest.approx(2), chunk_size=8, gather=False)


@pytest.mark.parametrize('scale, chunk_size, message', [
    (True, 1, 'Seen: scale=True; expected a number above 0'), ('1', 1, "scale='1'"), (float('inf'), 1, 'scale=inf'),
    (1., True, 'Seen: chunk_size=True; expected a whole number, 1 or more')])
def test_settings_that_cannot_be(scale, chunk_size, message):
    with pytest.raises(ValueError, match=message):
        Seen(scale, False, chunk_size, True)
