"""PairDataPreprocessor: batches of features as they are, images as another preprocessor has them."""
from typing import Any, Mapping, Optional

from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from lbbt_mm.registry import MODELS


@MODELS.register_module()
class PairDataPreprocessor(BaseDataPreprocessor):
    """Brings features of pairs to the model's device, and hands images to a preprocessor of their own.

    So one model trains on stores of features and classifies images.

    Args:
        images: Config of the images' preprocessor, by default mmpretrain's ``ClsDataPreprocessor``. Defaults to None: there
            are no images.
    """

    def __init__(self, images: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__()
        self.images = None if images is None else MODELS.build({'type': 'mmpretrain.ClsDataPreprocessor', **images})

    def forward(self, data: Mapping[str, Any], training: bool = False) -> Any:
        """Prepare a batch.

        Args:
            data: ``inputs``: a dict of tensors ``(N, C)``, or images as a loader gives them; ``data_samples``.
            training: Whether the model trains.

        Raises:
            TypeError: If features are no tensors, or there are images and no preprocessor for them.
        """
        inputs = data['inputs']
        if isinstance(inputs, Mapping):
            odd = next((name for name, features in inputs.items() if not isinstance(features, Tensor)), None)
            if odd:
                raise TypeError(f'PairDataPreprocessor: {odd} is a {type(inputs[odd]).__name__}; expected a tensor (N, C). '
                                "Set collate_fn=dict(type='lbbt_mm.collate_pairs') of the data loader.")
            return self.cast_data(data)
        if self.images is None:
            raise TypeError('PairDataPreprocessor: the batch is of images, and there is no preprocessor for them; expected '
                            "features. Set model.data_preprocessor=dict(type='ClsDataPreprocessor', ...).")
        return self.images(data, training)
