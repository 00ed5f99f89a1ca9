"""FLOPs of scaled_dot_product_attention, which mmengine's analyser has no count for."""
from math import prod
from typing import Any, List

from mmengine.analysis.jit_handles import get_shape

from lbbt_mm.mmengine_internals import register_flops


def attention_flops(inputs: List[Any], outputs: List[Any]) -> int:
    """Multiply-adds of ``softmax(q k^T) v``; mmengine counts one fused multiply-add as one FLOP.

    Args:
        inputs: Traced values of q ``(..., N, D)``, k ``(..., M, D)`` and v ``(..., M, E)``.
        outputs: The traced result, unused.

    Returns:
        int: The count; the masked half of causal attention is counted too, as it is for mmengine's other operators.
    """
    q, k, v = (get_shape(value) for value in inputs[:3])
    return prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def register_attention_flops() -> None:
    """Teach mmengine's ``get_model_complexity_info`` and ``FlopAnalyzer`` the operator."""
    register_flops('aten::scaled_dot_product_attention', attention_flops)
