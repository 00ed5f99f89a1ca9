"""The sides of a comparison as calls that can be timed, and the matrix products that they need.

The products alone are the floor: no implementation is faster. (One qualification: attention's products are done for all
heads at once here, and their score matrices leave the cache; a kernel that keeps them there can be a little faster at that
part. Causal attention is counted in full, and a kernel can leave out nearly half of it. The convolution of a patch embedding
is not among the products, below a hundredth of the work.)
"""
import math
import re
from collections import Counter
from functools import reduce
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

# (how many at once, rows, summed over, columns)
Product = Tuple[int, int, int, int]
aten = torch.ops.aten
#: Our parameter names -> those of mmcv's layers, as :func:`take_over` takes them.
MMCV_NAMES = {
    r'\.(cross_)?attn\.qkv\.': r'.\1attn.attn.in_proj_',
    r'\.(cross_)?attn\.proj\.': r'.\1attn.attn.out_proj.',
    r'\.mlp\.fc1\.': '.ffn.layers.0.0.',
    r'\.mlp\.fc2\.': '.ffn.layers.1.',
}


class Contender:
    """A model's pass as a call that can be timed: forward and backward, or forward alone in evaluation mode.

    Args:
        model: The model.
        run: Runs it once and returns its output.
        training: Whether the mean magnitude of the output is taken back through the model (the mean square would be no
            loss: a norm at the end keeps it constant, and gradients would be rounding errors).
        bf16: Under bfloat16 autocast, or in float32.
        inputs: Tensors beside the model's parameters that get gradients.
    """

    def __init__(self, model: nn.Module, run: Callable[[], Tensor], training: bool, bf16: bool,
                 inputs: Tuple[Tensor, ...] = ()) -> None:
        self.model, self.run, self.training, self.bf16, self.inputs = model, run, training, bf16, inputs
        model.train(training)

    def __call__(self) -> None:
        """Run once."""
        with torch.set_grad_enabled(self.training):
            with torch.autocast('cpu', torch.bfloat16, enabled=self.bf16):
                output = self.run()
            if self.training:
                output.float().abs().mean().backward()

    def forget(self) -> None:
        """Drop the gradients."""
        self.model.zero_grad()
        for tensor in self.inputs:
            tensor.grad = None


def take_over(ours: nn.Module, weights: Mapping[str, Tensor], names: Mapping[str, str], strict: bool = True) -> None:
    """Load the other side's weights, so that both compute the same function.

    Args:
        ours: Our module.
        weights: The other side's.
        names: Patterns in our names -> what stands there in theirs.
        strict: Whether all of ours have to be among them.
    """
    theirs = {name: reduce(lambda text, pair: re.sub(*pair, text), names.items(), name) for name in ours.state_dict()}
    ours.load_state_dict({name: weights[other] for name, other in theirs.items() if strict or other in weights},
                         strict=strict)


def held_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> Dict[str, int]:
    """What a training step holds: numbers of parameters, bytes of gradients and of the optimizer's state."""
    parameters = list(model.parameters())
    state = [value for values in optimizer.state.values() for value in values.values()]
    return dict(trained=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
                parameters=sum(parameter.numel() for parameter in parameters),
                gradients=sum(parameter.grad.nbytes for parameter in parameters if parameter.grad is not None),
                optimizer=sum(value.nbytes for value in state if isinstance(value, Tensor)))


def giga_flops(call: Callable[[], Any], formulas: Optional[Mapping[Any, Callable[..., int]]] = None) -> float:
    """Floating-point operations of a call in units of 1e9, as torch counts them; fused attention kernels are left out.

    Args:
        call: Is called once.
        formulas: Operators of torch -> what gives their operations from the shapes of their arguments, in place of torch's.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        call()
    return 1e-9 * counter.get_total_flops()


def matrix_products(contender: Contender) -> Tuple[float, 'Counter[Product]']:
    """GFLOP of a contender's pass in float32, and its matrix products: product -> how often.

    With gradients on, which keeps torch from the transformer layers that it fuses whole; there is no backward pass in
    evaluation for that.
    """
    counts: 'Counter[Product]' = Counter()

    def count(*shapes: Any, **_: Any) -> int:
        (*stack, rows, inner), (*_, columns) = shapes[-2:]
        product = (*(stack or [1]), rows, inner, columns)
        # an outer product, such as positions times frequencies, sums over nothing and is none
        if inner > 1:
            counts[product] += 1
        return 2 * math.prod(product)

    def run() -> None:
        output = contender.run()
        if contender.training:
            output.abs().mean().backward()

    with torch.enable_grad():
        flops = giga_flops(run, dict.fromkeys((aten.mm, aten.addmm, aten.bmm, aten.baddbmm), count))
    contender.forget()
    return flops, counts


def floor_call(counts: Mapping[Product, int], dtype: torch.dtype) -> Callable[[], None]:
    """A function that computes the products into memory set aside beforehand."""
    buffers = {}
    for product in counts:
        *stack, rows, inner, columns = product if product[0] > 1 else product[1:]
        buffers[product] = [torch.ones(*stack, *sides, dtype=dtype)
                            for sides in ((rows, inner), (inner, columns), (rows, columns))]

    @torch.no_grad()
    def call() -> None:
        for product, (left, right, out) in buffers.items():
            multiply = torch.bmm if product[0] > 1 else torch.mm
            for _ in range(counts[product]):
                multiply(left, right, out=out)

    return call
