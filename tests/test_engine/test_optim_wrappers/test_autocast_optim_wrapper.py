"""AutocastOptimWrapper: bfloat16 forward passes on a CPU, everything that is kept in float32."""
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from lbbt_mm.engine.optim_wrappers import autocast_optim_wrapper


def build(model: nn.Module, **options):
    return build_optim_wrapper(
        model, dict(type='lbbt_mm.AutocastOptimWrapper', optimizer=dict(type='Adam', lr=0.05), **options))


def test_it_is_found_by_its_scoped_name():
    assert OPTIM_WRAPPERS.get('lbbt_mm.AutocastOptimWrapper').__name__ == 'AutocastOptimWrapper'


def test_the_forward_pass_is_bfloat16_and_the_rest_float32():
    model = nn.Linear(8, 4)
    wrapper = build(model)
    with wrapper.optim_context(model):
        out = model(torch.randn(3, 8))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().square().mean())
    assert model.weight.dtype == torch.float32
    state = wrapper.optimizer.state[model.weight]
    assert state['exp_avg'].dtype == torch.float32
    assert model(torch.randn(3, 8)).dtype == torch.float32, 'autocast ends with the context'


def test_it_learns():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    wrapper = build(model, clip_grad=dict(max_norm=1.))
    x = torch.randn(64, 4)
    losses = []
    for _ in range(60):
        with wrapper.optim_context(model):
            losses.append((model(x).float()[:, 0] - x.sum(1)).square().mean())
        wrapper.update_params(losses[-1])
    assert losses[-1] < 0.1 * losses[0]


def test_gradients_accumulate_as_in_mmengine_s_wrapper():
    model = nn.Linear(4, 1, bias=False)
    wrapper = build(model, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    before = model.weight.clone()
    for step in range(2):
        with wrapper.optim_context(model):
            loss = model(torch.ones(2, 4)).float().mean()
        wrapper.update_params(loss)
        assert torch.equal(model.weight, before) == (step == 0)


def test_an_error_inside_leaves_autocast():
    model = nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), build(model).optim_context(model):
        raise ZeroDivisionError
    assert not torch.is_autocast_enabled('cpu')


def test_evaluation_under_autocast_is_in_the_same_precision(monkeypatch):
    """mmengine's loops take torch's default for the device, which is float16 on GPUs."""
    monkeypatch.setattr('lbbt_mm.engine.optim_wrappers.autocast_optim_wrapper.get_device', lambda: 'cuda')
    before = torch.get_autocast_dtype('cuda')
    assert before == torch.float16
    try:
        build(nn.Linear(8, 4))
        assert torch.get_autocast_dtype('cuda') == torch.bfloat16
    finally:
        torch.set_autocast_dtype('cuda', before)


@pytest.mark.parametrize('machine, avx512, amx, slow', [
    ('x86_64', False, False, True), ('x86_64', True, False, False), ('x86_64', False, True, False),
    ('aarch64', False, False, False), ('x86_64', None, None, False)])
def test_a_processor_on_which_it_is_slow_is_said(monkeypatch, machine, avx512, amx, slow):
    said = []
    monkeypatch.setattr(autocast_optim_wrapper, 'print_log', lambda message, *where: said.append(message))
    monkeypatch.setattr('platform.machine', lambda: machine)
    monkeypatch.setattr(autocast_optim_wrapper, 'get_device', lambda: 'cpu')
    for name, has_it in (('_is_avx512_bf16_supported', avx512), ('_is_amx_tile_supported', amx)):
        monkeypatch.setattr(torch.cpu, name, None if has_it is None else lambda has_it=has_it: has_it, raising=False)
    build(nn.Linear(2, 2))
    assert ['Set optim_wrapper.type=OptimWrapper' in message for message in said] == [True] * slow
