"""Two ranks are one process with the same pairs: loss, gradients, batch norms."""
import pytest
import torch

from tests.closeness import assert_close
from tests.pair_ranks import build, step
from tests.tool_processes import run_ranks

LOSSES = [dict(type=f'lbbt_mm.{name}', learn_scale=True, chunk_size=5) for name in ('InfoNCELoss', 'SigmoidPairLoss')]


def given(**settings):
    torch.manual_seed(0)
    return dict(settings=settings, image=torch.randn(12, 5), text=torch.randn(12, 6) + 3, model=build(settings).state_dict())


def on_two_ranks(given, folder):
    torch.save(given, folder / 'step.pt')
    returncode, output = run_ranks('../tests/pair_ranks.py', 2, folder)
    assert returncode == 0, output
    return [torch.load(folder / f'rank{rank}.pt') for rank in range(2)]


def assert_same_gradients(found, expected):
    size = max(gradient.abs().max() for gradient in expected.values())
    for name, gradient in expected.items():
        assert_close(found[name], gradient, depth=6, size=size, msg=name)


@pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: loss['type'])
def test_the_whole_batch_is_that_of_all_ranks(loss, tmp_path):
    pairs = given(loss=loss)
    expected = step(pairs)
    assert expected['gradients'].keys() >= {'text_projection.layers.0.weight', 'text_projection.layers.1.weight',
                                            'pair_loss.log_scale'}
    for found in on_two_ranks(pairs, tmp_path):
        assert_close(found['loss'], expected['loss'])
        assert_same_gradients(found['gradients'], expected['gradients'])
        for name, value in expected['model'].items():
            assert_close(found['model'][name], value, depth=3, msg=name)


def test_ranks_that_accumulate_are_parts_of_the_public_code_s_batch_and_agree_on_statistics(tmp_path):
    pairs = given(batch='accumulate', accumulate_size=6)
    one, other = on_two_ranks(pairs, tmp_path)
    in_turn = {name: torch.cat([pairs[name][rank::2] for rank in range(2)]) for name in ('image', 'text')}
    expected = step({**pairs, **in_turn})
    assert_close((one['loss'] + other['loss']) / 2, expected['loss'])
    assert_same_gradients(one['gradients'], expected['gradients'])
    for name, value in one['model'].items():
        assert torch.equal(value, other['model'][name]), name


def test_ranks_with_other_numbers_of_pairs_are_refused(tmp_path):
    pairs = given(loss=LOSSES[0])
    torch.save({**pairs, 'image': pairs['image'][:11], 'text': pairs['text'][:11]}, tmp_path / 'step.pt')
    returncode, output = run_ranks('../tests/pair_ranks.py', 2, tmp_path)
    assert returncode != 0
    assert 'Contrastive loss: ranks have batches of [6, 5] pairs; expected equal ones.' in output
