"""Two ranks are one process with the same pairs: loss, gradients, batch norms."""
import pytest
import torch

from lbbt_mm.models.projections import MLPProjection
from tests.closeness import assert_close
from tests.pair_ranks import step
from tests.tool_processes import run_ranks

LOSSES = [dict(type='InfoNCELoss', learn_scale=True, chunk_size=5),
          dict(type='SigmoidPairLoss', learn_scale=True, chunk_size=5)]


@pytest.fixture(params=LOSSES, ids=lambda loss: loss['type'])
def given(request):
    torch.manual_seed(0)
    projection = MLPProjection(6, 5, hidden_channels=8, num_layers=3, dropout=0)
    return dict(loss=request.param, image=torch.randn(12, 5), text=torch.randn(12, 6) + 3,
                projection=projection.state_dict())


def test_two_ranks_are_one(given, tmp_path):
    torch.save(given, tmp_path / 'step.pt')
    returncode, output = run_ranks('../tests/pair_ranks.py', 2, tmp_path)
    assert returncode == 0, output
    expected = step(given)
    assert expected['gradients'].keys() >= {'layers.0.weight', 'layers.1.weight', 'log_scale'}
    size = max(gradient.abs().max() for gradient in expected['gradients'].values())
    for rank in range(2):
        found = torch.load(tmp_path / f'rank{rank}.pt')
        assert_close(found['loss'], expected['loss'])
        for name, gradient in expected['gradients'].items():
            assert_close(found['gradients'][name], gradient, depth=6, size=size, msg=name)
        for name, value in expected['projection'].items():
            assert_close(found['projection'][name], value, depth=3, msg=name)


def test_ranks_with_other_numbers_of_pairs_are_refused(given, tmp_path):
    torch.save({**given, 'image': given['image'][:11], 'text': given['text'][:11]}, tmp_path / 'step.pt')
    returncode, output = run_ranks('../tests/pair_ranks.py', 2, tmp_path)
    assert returncode != 0
    assert 'Contrastive loss: ranks have batches of [6, 5] pairs; expected equal ones.' in output
