"""MLPProjection: what trains in ShareLock ("Better Language Models Exhibit Higher Visual Alignment", 2410.07173)."""
from typing import Any, Mapping, Optional, Tuple, Union

from mmcv.cnn import build_activation_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_count, check_rate
from lbbt_mm.models.layers.fast_dropout import Dropout
from lbbt_mm.models.layers.synced_batch_norm import SyncedBatchNorm
from lbbt_mm.registry import MODELS


@MODELS.register_module()
class MLPProjection(BaseModule):
    """Linear layers, with batch norm, an activation and dropout after each but the last.

    The defaults are those of ShareLock's public code (JonaRuthardt/ShareLock, e7b464d): 4 linears, in -> 4096 -> 4096 ->
    4096 -> out. ``num_layers=1`` is a linear map, as LiT has on the text side. Over several ranks the batch norms take the
    moments of all, see :class:`lbbt_mm.models.layers.synced_batch_norm.SyncedBatchNorm`.

    Args:
        in_channels: Width of the features.
        out_channels: Width of what they are mapped to. :class:`lbbt_mm.ShareLock` brings it to unit length.
        hidden_channels: Width between the linears. Defaults to 4096.
        num_layers: How many linears. Defaults to 4.
        dropout: Its rate, at least 0 and below 1. Defaults to 0.2.
        norm: Whether there are batch norms. Defaults to True.
        activation: Name of an activation layer of mmcv's, or its config. Defaults to ``'ReLU'``.
        init_cfg: Initialisation. Defaults to None, torch's own, as in the public code.

    Raises:
        ValueError: If a width, the number of layers or the rate cannot be.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 hidden_channels: int = 4096,
                 num_layers: int = 4,
                 dropout: float = 0.2,
                 norm: bool = True,
                 activation: Union[str, Mapping[str, Any]] = 'ReLU',
                 init_cfg: Optional[Any] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        for name, count in dict(in_channels=in_channels, out_channels=out_channels, hidden_channels=hidden_channels,
                                num_layers=num_layers).items():
            check_count(f'MLPProjection: {name}', count)
        check_rate('MLPProjection: dropout', dropout)
        self.in_channels, self.out_channels = in_channels, out_channels
        activation = dict(type=activation) if isinstance(activation, str) else dict(activation)
        widths = [in_channels, *[hidden_channels] * (num_layers - 1)]
        layers = []
        for width in widths[:-1]:  # a checkpoint's names depend on the number of layers alone
            layers.append(nn.Linear(width, hidden_channels))
            layers.append(SyncedBatchNorm(hidden_channels) if norm else nn.Identity())
            layers.extend(_activation_and_dropout(activation, dropout))
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``(N, in_channels)`` to ``(N, out_channels)``, not of unit length yet.

        Raises:
            ValueError: If the features have another width.
        """
        if features.ndim != 2 or features.shape[1] != self.in_channels:
            raise ValueError(f'MLPProjection: features of shape {tuple(features.shape)}; expected (N, {self.in_channels}). '
                             "Set in_channels to the width of the store's features.")
        return self.layers(features)


def _activation_and_dropout(activation: Mapping[str, Any], dropout: float) -> Tuple[nn.Module, nn.Module]:
    """Of a ReLU it makes no difference which comes first; behind the dropout it needs no array of its own."""
    if activation['type'] == 'ReLU':
        return Dropout(dropout), nn.ReLU(inplace=True)
    return build_activation_layer(dict(activation)), Dropout(dropout)
