"""EfficientNet-Lite0 in plain torch, written from the paper's table and the package's names: what ours is compared with."""
from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor

#: Kernel, stride, expansion, channels and repeats of each row (EfficientNet, Table 1; Lite leaves out the excitation).
ROWS = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
        (3, 1, 6, 320, 1))
BLOCKS = [(kernel, stride if index == 0 else 1, expansion, channels)
          for kernel, stride, expansion, channels, repeats in ROWS for index in range(repeats)]


def random_tensors(seed: int = 0) -> Dict[str, Tensor]:
    """All tensors under the package's names, so drawn that signals neither vanish nor saturate."""
    generator, tensors = torch.Generator().manual_seed(seed), {}

    def conv(name: str, out: int, inside: int, kernel: int) -> None:
        scale = (2 / (inside * kernel**2))**0.5
        tensors[f'{name}.weight'] = torch.randn(out, inside, kernel, kernel, generator=generator) * scale

    def norm(name: str, channels: int) -> None:
        for key, low in (('weight', 0.8), ('bias', -0.1), ('running_mean', -0.1), ('running_var', 0.8)):
            tensors[f'{name}.{key}'] = torch.rand(channels, generator=generator) * 0.3 + low
        tensors[f'{name}.num_batches_tracked'] = torch.tensor(7)

    conv('_conv_stem', 32, 3, 3)
    norm('_bn0', 32)
    inside = 32
    for number, (kernel, _, expansion, channels) in enumerate(BLOCKS):
        name, middle = f'_blocks.{number}', inside * expansion
        if expansion > 1:
            conv(f'{name}._expand_conv', middle, inside, 1)
            norm(f'{name}._bn0', middle)
        conv(f'{name}._depthwise_conv', middle, 1, kernel)
        norm(f'{name}._bn1', middle)
        conv(f'{name}._project_conv', channels, middle, 1)
        norm(f'{name}._bn2', channels)
        inside = channels
    conv('_conv_head', 1280, 320, 1)
    norm('_bn1', 1280)
    tensors['_fc.weight'] = torch.randn(1000, 1280, generator=generator) * 0.03
    tensors['_fc.bias'] = torch.randn(1000, generator=generator)
    return tensors


def plain_scores(tensors: Dict[str, Tensor], images: Tensor) -> Tensor:
    """Scores of classes ``(B, 1000)`` of images ``(B, 3, H, W)``."""

    def conv(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = tensors[f'{name}.weight']
        padding = []
        for size in reversed(x.shape[2:]):  # TensorFlow's SAME: as many outputs as size / stride, more padding behind
            total = max((-(-size // stride) - 1) * stride + weight.shape[2] - size, 0)
            padding += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, padding), weight, stride=stride, groups=groups)

    def norm(x: Tensor, name: str) -> Tensor:
        parts = [tensors[f'{name}.{key}'] for key in ('running_mean', 'running_var', 'weight', 'bias')]
        return F.batch_norm(x, *parts, eps=1e-3)

    x = F.relu6(norm(conv(images, '_conv_stem', 2), '_bn0'))
    for number, (_, stride, expansion, _) in enumerate(BLOCKS):
        name, y = f'_blocks.{number}', x
        if expansion > 1:
            y = F.relu6(norm(conv(y, f'{name}._expand_conv'), f'{name}._bn0'))
        y = F.relu6(norm(conv(y, f'{name}._depthwise_conv', stride, y.shape[1]), f'{name}._bn1'))
        y = norm(conv(y, f'{name}._project_conv'), f'{name}._bn2')
        x = x + y if x.shape == y.shape else y
    x = F.relu6(norm(conv(x, '_conv_head'), '_bn1'))
    return F.linear(x.mean((2, 3)), tensors['_fc.weight'], tensors['_fc.bias'])
