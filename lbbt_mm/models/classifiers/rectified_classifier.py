"""RectifiedClassifier: a classifier with frozen language blocks inserted in its ViT, for inference or in training alone."""
from copy import deepcopy
from typing import Any, Dict, List, Mapping, Optional

from torch import Tensor, nn

from lbbt_mm.models.blocks import token_blocks
from lbbt_mm.models.input_widths import with_input_width
from lbbt_mm.models.rectifiers.insertion import Place
from lbbt_mm.models.rectifiers.rectified_model import RectifiedModel
from lbbt_mm.registry import MODELS
from .language_classifier import LanguageClassifier


@MODELS.register_module()
class RectifiedClassifier(RectifiedModel, LanguageClassifier):
    """ImageClassifier whose ViT has frozen language blocks inside, in the forward pass or on an auxiliary path.

    ``path='auxiliary'`` is auxiliary training ("Frozen Language Models are Gradient Coherence Rectifiers in Vision
    Transformers", Eqs. 8 to 10): the main path is the plain ViT, the auxiliary one runs through the rectifier; both share
    ViT and head. The ViT's blocks in front of the rectifier run once for both, what is behind it on both at once.
    Inference is the plain ViT. ``path='inserted'`` has the rectifier in training and inference (Eq. 6).

    The backbone is any of mmpretrain's whose blocks map tokens to tokens: VisionTransformer, DistilledVisionTransformer,
    BEiTViT, ViTEVA02, in the styles of DeiT, MAE and DINOv2. Its code, names and checkpoints are not touched.

    Args:
        backbone: A backbone of tokens.
        rectifier: Config of :class:`lbbt_mm.LanguageRectifier`, without ``in_channels``. With ``language.arm='none'`` there
            is no rectifier: an inserted one leaves the plain ViT, an auxiliary path becomes an auxiliary head; with
            ``plain`` there is no such head either, and the model is the plain ViT on both paths.
        insert_after: ``last``, ``middle``, ``first`` or a block's index: where the rectifier stands, in front of the ViT's
            final norm; ``embedding``: in front of all blocks. Defaults to ``last``.
        path: ``auxiliary`` or ``inserted``. Defaults to ``auxiliary``.
        aux_weight: Weight of the auxiliary loss, lambda of Eq. 10, 0 to 1; :class:`lbbt_mm.AuxiliaryWeightHook` changes it
            in training (Eq. 9). Defaults to 0.35.
        neck: As for :class:`lbbt_mm.LanguageClassifier`; in auxiliary training one without batch norms.
        head: As for :class:`lbbt_mm.LanguageClassifier`.
        **kwargs: As for :class:`lbbt_mm.LanguageClassifier`.

    Raises:
        ValueError: If the backbone has no such place, or an option has a value that it cannot have.
    """

    takes_images = True

    def __init__(self,
                 backbone: Any,
                 rectifier: Mapping[str, Any],
                 insert_after: Place = 'last',
                 path: str = 'auxiliary',
                 aux_weight: float = 0.35,
                 neck: Optional[Mapping] = None,
                 head: Optional[Mapping] = None,
                 **kwargs) -> None:
        backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        token_blocks(backbone)  # before neck and head, which take their widths from it
        super().__init__(backbone, neck, head, **kwargs)

        def make_head() -> Any:
            return MODELS.build(with_input_width('head', deepcopy(head), self.backbone.embed_dims))

        behind = {'neck': self.neck} if self.with_neck else {}
        self.add_rectifier(rectifier, insert_after, path, aux_weight, behind, make_head)

    def loss(self, inputs: Tensor, data_samples: List[Any]) -> Dict[str, Tensor]:
        """The losses of a batch: of the main and, in auxiliary training, of the auxiliary path.

        In evaluation mode it is the main path's alone.

        Args:
            inputs: Images ``(B, 3, H, W)``.
            data_samples: Their labels.

        Returns:
            dict[str, Tensor]: See :func:`lbbt_mm.models.rectifiers.two_paths.weighted_losses`.
        """
        if self.path == 'inserted' or not self.training:
            return super().loss(inputs, data_samples)
        if self.rectifier is None:
            main = auxiliary = self.extract_feat(inputs)
        else:
            main, auxiliary = self.of_both_paths(lambda: self.extract_feat(inputs))
        head = self.aux_head or self.head
        return self.weighted(self.head.loss(main, data_samples), head.loss(auxiliary, data_samples))
