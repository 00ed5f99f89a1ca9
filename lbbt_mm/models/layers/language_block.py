"""LanguageBlock: the one transformer block of the package, numerically equal to the Hugging Face block it is read from.

Sources: GPT-2 (Radford et al., 2019, section 2.3), Llama (arXiv 2302.13971, section 2.2), Qwen3 (arXiv 2505.09388,
section 2, for the q/k norm); cross-attention and its initialisation: LBBT, "Extend to Vision Dense Prediction Tasks".
"""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.drop import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lbbt_mm.argument_checks import check_choice, check_rate
from lbbt_mm.language.activations import ACTIVATIONS
from lbbt_mm.language.spec import BlockSpec
from .attention import KERNELS, attend
from .fast_dropout import Dropout
from .rotary import RotaryTable, rotate


class LanguageAttention(nn.Module):
    """Multi-head attention with a fused qkv weight, grouped key/value heads and optional q/k norm.

    The same weights serve self-attention and, given ``memory``, cross-attention.

    Args:
        spec: The block's spec.
        causal: Whether a token attends only to itself and those before it.
        attn_drop: Dropout rate of the attention weights.
        proj_drop: Dropout rate of the output.
        kernel: One of :data:`lbbt_mm.models.layers.attention.KERNELS`.
    """

    def __init__(self, spec: BlockSpec, causal: bool = False, attn_drop: float = 0., proj_drop: float = 0.,
                 kernel: str = 'auto') -> None:
        super().__init__()
        self.head_dims = spec.head_dims
        self.causal = causal
        self.scale = spec.attn_scale
        self.attn_drop = attn_drop
        self.kernel = kernel
        self._splits = spec.qkv_dims
        self.qkv = nn.Linear(spec.embed_dims, sum(self._splits), bias=spec.qkv_bias)
        self.q_norm = nn.RMSNorm(spec.head_dims, eps=spec.norm_eps) if spec.qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(spec.head_dims, eps=spec.norm_eps) if spec.qk_norm else nn.Identity()
        self.proj = nn.Linear(self._splits[0], spec.embed_dims, bias=spec.proj_bias)
        self.proj_drop = Dropout(proj_drop)

    def forward(self,
                x: Tensor,
                pos: Optional[Tensor] = None,
                memory: Optional[Tensor] = None,
                memory_pos: Optional[Tensor] = None,
                mask: Optional[Tensor] = None,
                rotary: Optional[RotaryTable] = None,
                gain: Optional[Tensor] = None) -> Tensor:
        """Attend.

        Args:
            x: Tokens ``(B, N, C)`` that ask.
            pos: Positions ``(B or 1, N, C)`` added where queries (and, in self-attention, keys) are made.
            memory: Tokens ``(B, M, C)`` that are attended to; None for self-attention.
            memory_pos: ``memory`` plus its positions, from which keys are made. Defaults to ``memory``.
            mask: Boolean ``(B, 1, 1 or N, M)``, True where attending is allowed.
            rotary: Cosines and sines of the tokens' positions.
            gain: Weight ``(C, )`` of the norm that made ``x``, put on positions and memory too. Defaults to None, one.

        Returns:
            Tensor: ``(B, N, C)``.
        """
        q, k, v = self._project(x, pos, memory, memory_pos, gain)
        q, k, v = (part.unflatten(-1, (-1, self.head_dims)) for part in (q, k, v))
        q, k, v = self.q_norm(q).transpose(1, 2), self.k_norm(k).transpose(1, 2), v.transpose(1, 2)
        if rotary is not None:
            q, k = rotate(q, rotary), rotate(k, rotary)
        out = attend(q, k, v, mask, causal=self.causal and memory is None, scale=self.scale,
                     drop=self.attn_drop if self.training else 0., kernel=self.kernel)
        return self.proj_drop(self.proj(out.transpose(1, 2).flatten(2)))

    def _project(self, x: Tensor, pos: Optional[Tensor], memory: Optional[Tensor], memory_pos: Optional[Tensor],
                 gain: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
        if memory is None and pos is None:
            return self.qkv(x).split(self._splits, dim=-1)
        asking = x
        if pos is not None:
            asking = x + pos if gain is None else torch.addcmul(x, pos.to(x.dtype), gain.to(x.dtype))
        # `split` has one backward that joins the three gradients; slices would each allocate the whole weight.
        parts = (sum(self._splits[:2]), self._splits[2]) if memory is None else self._splits
        weights = self.qkv.weight.split(parts)
        biases = (None, ) * 3 if self.qkv.bias is None else self.qkv.bias.split(parts)
        if memory is None:
            q, k = F.linear(asking, weights[0], biases[0]).split(self._splits[:2], dim=-1)
            return q, k, F.linear(x, weights[1], biases[1])
        if gain is not None:  # on the weights, which are smaller than the memory
            weights = weights[0], weights[1] * gain, weights[2] * gain
        sources = asking, memory if memory_pos is None else memory_pos, memory
        return tuple(map(F.linear, sources, weights, biases))


class LanguageMLP(nn.Module):
    """Feed-forward network of a language model: plain ``fc2(act(fc1(x)))`` or gated ``fc2(act(gate(x)) * up(x))``.

    Args:
        spec: The block's spec. A gated network keeps gate (first half) and up projection in one ``fc1``.
        proj_drop: Dropout rate of the output.
        hidden_drop: Dropout rate after the activation. Defaults to None, ``proj_drop``, as in the host models.
    """

    def __init__(self, spec: BlockSpec, proj_drop: float = 0., hidden_drop: Optional[float] = None) -> None:
        super().__init__()
        self.gated = spec.gated
        self.act = ACTIVATIONS[spec.activation]
        self.fc1 = nn.Linear(spec.embed_dims, spec.ffn_dims * (2 if spec.gated else 1), bias=spec.ffn_bias)
        self.fc2 = nn.Linear(spec.ffn_dims, spec.embed_dims, bias=spec.ffn_bias)
        self.drop = Dropout(proj_drop)
        self.hidden_drop = Dropout(proj_drop if hidden_drop is None else hidden_drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        hidden = self.fc1(x)
        if self.gated:
            gate, up = hidden.chunk(2, dim=-1)
            hidden = self.act(gate)
            # without gradients nobody needs the activated gate: no second large tensor
            hidden = hidden * up if torch.is_grad_enabled() else hidden.mul_(up)
        else:
            hidden = self.act(hidden)
        return self.drop(self.fc2(self.hidden_drop(hidden)))


class LanguageBlock(nn.Module):
    """One transformer block of a language model, for use in vision models.

    With the norms where the language model has them it computes the function that was pretrained (on tokens in any number,
    with no position of its own unless ``rotary`` is given). In the other order they are the same norms, by name:
    ``norm='post'``, after each residual sum, is the original DETR's.

    Args:
        spec: What the block is; see :class:`lbbt_mm.language.spec.BlockSpec`.
        cross_attention: Whether the block also attends to a memory, between self-attention and feed-forward.
        attention: ``bidirectional`` (patches have no order) or ``causal``.
        norm: ``pre`` or ``post``. Defaults to None, where the language model has them (``spec.norm_order``).
        attn_drop: Dropout rate of the attention weights.
        proj_drop: Dropout rate of attention output and feed-forward output.
        hidden_drop: Dropout rate of the feed-forward network's hidden units. Defaults to None, ``proj_drop``.
        drop_path_rate: Stochastic-depth rate of each residual branch.
        with_cp: Whether to recompute activations in the backward pass, to save memory.
        attention_kernel: What computes attention: one of :data:`lbbt_mm.models.layers.attention.KERNELS`. Second
            derivatives need ``math``.
    """

    def __init__(self,
                 spec: BlockSpec,
                 cross_attention: bool = False,
                 attention: str = 'bidirectional',
                 norm: Optional[str] = None,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.,
                 hidden_drop: Optional[float] = None,
                 drop_path_rate: float = 0.,
                 with_cp: bool = False,
                 attention_kernel: str = 'auto') -> None:
        super().__init__()
        check_choice('attention', attention, ('bidirectional', 'causal'))
        check_choice('norm', norm, (None, 'pre', 'post'))
        check_choice('attention_kernel', attention_kernel, KERNELS)
        check_rate('attn_drop', attn_drop)
        check_rate('proj_drop', proj_drop)
        check_rate('hidden_drop', 0. if hidden_drop is None else hidden_drop)
        check_rate('drop_path_rate', drop_path_rate)
        self.spec = spec
        self.norm = norm or spec.norm_order
        self.with_cp = with_cp
        self.norm1 = build_norm(spec)
        attention_options = (attn_drop, proj_drop, attention_kernel)
        self.attn = LanguageAttention(spec, attention == 'causal', *attention_options)
        self.cross_norm = build_norm(spec) if cross_attention else None
        self.cross_attn = LanguageAttention(spec, False, *attention_options) if cross_attention else None
        self.norm2 = build_norm(spec)
        self.mlp = LanguageMLP(spec, proj_drop, hidden_drop)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

    def forward(self,
                x: Tensor,
                pos: Optional[Tensor] = None,
                mask: Optional[Tensor] = None,
                memory: Optional[Tensor] = None,
                memory_pos: Optional[Tensor] = None,
                memory_mask: Optional[Tensor] = None,
                rotary: Optional[RotaryTable] = None) -> Tensor:
        """Run the block.

        Args:
            x: Tokens ``(B, N, C)``.
            pos: Positions ``(B or 1, N, C)`` added to self-attention's queries and keys and cross-attention's queries.
            mask: Boolean ``(B, 1, 1 or N, N)``, True where self-attention may look; None for everywhere.
            memory: Tokens ``(B, M, C)`` for cross-attention.
            memory_pos: ``memory`` plus its positions, for the keys; add them once, not in every layer.
            memory_mask: Boolean ``(B, 1, 1 or N, M)``, True where cross-attention may look.
            rotary: Cosines and sines, from :class:`lbbt_mm.models.layers.rotary.RotaryEmbedding`.

        Returns:
            Tensor: ``(B, N, C)``.

        Raises:
            ValueError: If the language model attends in sliding windows, and there are more tokens than one holds.
        """
        if self.spec.window is not None and x.shape[1] > self.spec.window:
            raise ValueError(f'{x.shape[1]} tokens, and the language model attends in windows of {self.spec.window}; '
                             'expected no more than that, since every token sees all others here. Use larger patches or '
                             'fewer tokens, or choose blocks without a window.')
        arguments = (x, pos, mask, memory, memory_pos, memory_mask, rotary)
        # a frozen block is in eval mode, and gradients may go through it all the same
        if self.with_cp and (self.training or x.requires_grad) and torch.is_grad_enabled():
            return checkpoint(self._forward, *arguments, use_reentrant=False)
        return self._forward(*arguments)

    def _forward(self, x, pos, mask, memory, memory_pos, memory_mask, rotary) -> Tensor:
        x = self._residual(x, self.norm1,
                           lambda y: self.attn(y, pos, mask=mask, rotary=rotary, gain=self._gain(self.norm1)))
        if self.cross_attn is not None:
            x = self._residual(
                x, self.cross_norm, lambda y: self.cross_attn(
                    y, pos, memory, memory_pos, mask=memory_mask, gain=self._gain(self.cross_norm)))
        return self._residual(x, self.norm2, self.mlp)

    def _gain(self, norm: nn.Module) -> Optional[Tensor]:
        """What a pre-norm block multiplies normalised tokens by, and so positions and memory as well.

        Language models learn gains far from one (one's: 0.03 to 0.4) and projections to match: positions or memory that
        come in without the gain make logits tens of times larger than in pretraining, and attention one-hot.
        """
        return norm.weight if self.norm == 'pre' else None

    def _residual(self, x: Tensor, norm: nn.Module, branch) -> Tensor:
        if self.norm == 'pre':
            return x + self.drop_path(branch(norm(x)))
        return norm(x + self.drop_path(branch(x)))


def build_norm(spec: BlockSpec) -> nn.Module:
    """A fresh norm of the kind and width that the language model uses."""
    if spec.norm == 'rms':
        return nn.RMSNorm(spec.embed_dims, eps=spec.norm_eps)
    return nn.LayerNorm(spec.embed_dims, eps=spec.norm_eps)
