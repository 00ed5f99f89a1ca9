"""EfficientNetLite: EfficientNet-Lite0 in the interface of mmpretrain's EfficientNet."""
from typing import Any

from mmpretrain.models.backbones import EfficientNet

from lbbt_mm.registry import MODELS


@MODELS.register_module()
class EfficientNetLite(EfficientNet):
    """EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation and with ReLU6.

    Weights, which are those of a classifier that was supervised on ImageNet-1K, come from
    ``tools/model_converters/efficientnet_lite_to_mmpretrain.py``. Pixels are normalised by mean 127 and deviation 128.

    Args:
        arch: ``lite0``; the others differ from B1 to B4 in how they are scaled too. Defaults to ``lite0``.
        act_cfg: Activation. Defaults to ReLU6.
        **kwargs: As for mmpretrain's EfficientNet.
    """

    #: By the first letter of an architecture: mmpretrain's of B0, with the third number, squeeze-and-excitation, 0.
    layer_settings = dict(l=[[[kernel, channels, 0, *others] for kernel, channels, _, *others in stage]
                             for stage in EfficientNet.layer_settings['b']])
    arch_settings = dict(lite0=EfficientNet.arch_settings['b0'])

    def __init__(self, arch: str = 'lite0', act_cfg: Any = dict(type='ReLU6'), **kwargs: Any) -> None:  # noqa: B006
        super().__init__(arch, act_cfg=act_cfg, **kwargs)
