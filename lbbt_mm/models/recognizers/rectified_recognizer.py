"""RectifiedRecognizer: mmaction2's Recognizer3D with frozen language blocks inserted in its video transformer."""
from copy import deepcopy
from typing import Any, Dict, List, Mapping, Optional

from mmaction.models.recognizers import Recognizer3D
from torch import Tensor

from lbbt_mm.models.rectifiers.insertion import Place
from lbbt_mm.models.rectifiers.rectified_model import RectifiedModel
from lbbt_mm.registry import MODELS


@MODELS.register_module()
class RectifiedRecognizer(RectifiedModel, Recognizer3D):
    """Recognizer3D of clips with a rectifier, such as VideoMAE's on Something-Something-v2 (the rectifier paper's Table 4).

    Args:
        backbone: A backbone whose blocks map tokens to tokens, such as mmaction2's VisionTransformer.
        rectifier: See :class:`lbbt_mm.RectifiedClassifier`; so are ``insert_after``, ``path`` and ``aux_weight``.
        insert_after: Where the rectifier stands. Defaults to ``last``.
        path: ``auxiliary`` or ``inserted``. Defaults to ``auxiliary``.
        aux_weight: Weight of the auxiliary loss. Defaults to 0.35.
        cls_head: As for Recognizer3D; needed.
        **kwargs: As for Recognizer3D.

    Raises:
        ValueError: If the backbone has no such place, or an option has a value that it cannot have.
    """

    def __init__(self,
                 backbone: Mapping[str, Any],
                 rectifier: Mapping[str, Any],
                 insert_after: Place = 'last',
                 path: str = 'auxiliary',
                 aux_weight: float = 0.35,
                 cls_head: Optional[Mapping[str, Any]] = None,
                 **kwargs) -> None:
        super().__init__(backbone, cls_head, **kwargs)
        behind = {'neck': self.neck} if self.with_neck else {}
        self.add_rectifier(rectifier, insert_after, path, aux_weight, behind, lambda: MODELS.build(deepcopy(cls_head)))

    def loss(self, inputs: Tensor, data_samples: List[Any], **kwargs) -> Dict[str, Tensor]:
        """The losses of a batch of clips ``(B, clips, 3, T, H, W)``: see :meth:`lbbt_mm.RectifiedClassifier.loss`."""
        if self.path == 'inserted' or not self.training:
            return super().loss(inputs, data_samples, **kwargs)

        def extract() -> Any:
            return self.extract_feat(inputs, data_samples=data_samples)[0]

        if self.rectifier is None:
            main = auxiliary = extract()
        else:
            main, auxiliary = self.of_both_paths(extract)
        head = self.aux_head or self.cls_head
        return self.weighted(self.cls_head.loss(main, data_samples), head.loss(auxiliary, data_samples))
