"""RectifiedClassifier: a classifier with frozen language blocks inserted in its ViT, for inference or in training alone."""
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from lbbt_mm.language.arms import ARMS
from lbbt_mm.language.options import LanguageOptions, check_choice
from lbbt_mm.models.input_widths import with_input_width
from lbbt_mm.models.rectifiers.insertion import Place, block_index, find_blocks, insert
from lbbt_mm.models.rectifiers.two_paths import (AuxiliaryHead, halves, refuse_shared_statistics, side_by_side,
                                                 weighted_losses)
from lbbt_mm.registry import MODELS
from .language_classifier import LanguageClassifier


@MODELS.register_module()
class RectifiedClassifier(LanguageClassifier):
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
            is no rectifier: an inserted one leaves the plain ViT, an auxiliary path becomes an auxiliary head.
        insert_after: ``last``, ``middle``, ``first`` or a block's index: where the rectifier stands, in front of the ViT's
            final norm; ``embedding``: in front of all blocks. Defaults to ``last``.
        path: ``auxiliary`` or ``inserted``. Defaults to ``auxiliary``.
        aux_weight: Weight of the auxiliary loss, lambda of Eq. 10, 0 to 1; :class:`lbbt_mm.AuxiliaryWeightHook` changes it
            in training (Eq. 9). Defaults to 0.35.
        **kwargs: As for :class:`lbbt_mm.LanguageClassifier`.

    Raises:
        ValueError: If the backbone has no such place, or an option has a value that it cannot have.
    """

    def __init__(self,
                 backbone: Any,
                 rectifier: Mapping[str, Any],
                 insert_after: Place = 'last',
                 path: str = 'auxiliary',
                 aux_weight: float = 0.35,
                 neck: Optional[Mapping] = None,
                 head: Optional[Mapping] = None,
                 **kwargs) -> None:
        check_choice('RectifiedClassifier: path', path, ('auxiliary', 'inserted'))
        super().__init__(backbone, neck, head, **kwargs)
        blocks = find_blocks(self.backbone)
        self.insert_after = block_index(insert_after, len(blocks))
        self.path = path
        self.set_aux_weight(aux_weight)
        self.rectifier = self.aux_head = None
        self._runs_both = False
        options = LanguageOptions.from_dict(rectifier.get('language'), offers_no_blocks=True)
        width = self.backbone.embed_dims
        if ARMS[options.arm].has_blocks or ARMS[options.arm].has_mappers:
            self.rectifier = MODELS.build(with_input_width('rectifier', {'in_channels': None, **rectifier}, width))
            insert(blocks, self.insert_after, self._pass)
            if path == 'auxiliary':
                parts = {f'backbone block {index}': blocks[index] for index in range(self.insert_after + 1, len(blocks))}
                refuse_shared_statistics({**parts, **({'neck': self.neck} if self.with_neck else {})})
        elif path == 'auxiliary':
            with torch.random.fork_rng(devices=[]):
                head = MODELS.build(with_input_width('head', deepcopy(head), width))
                self.aux_head = AuxiliaryHead(width, options.block('blocks').embed_dims, head)

    def init_weights(self) -> None:
        """Initialise the plain classifier as without a rectifier, then what is added to it.

        So it starts from the same weights with every arm, and the classifier's own ``init_cfg`` leaves the blocks alone.
        """
        added = {name: self._modules.pop(name) for name in ('rectifier', 'aux_head') if name in self._modules}
        try:
            super().init_weights()
        finally:
            self._modules.update(added)
        for part in added.values():
            part.init_weights()

    def set_aux_weight(self, weight: float) -> None:
        """Set the weight of the auxiliary loss.

        Raises:
            ValueError: If it is not between 0 and 1.
        """
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
            raise ValueError(f'aux_weight={weight!r}: expected a number from 0 to 1, the weight of the auxiliary loss.')
        self.aux_weight = float(weight)

    def loss(self, inputs: Tensor, data_samples: List[Any]) -> Dict[str, Tensor]:
        """The losses of a batch: of the main and, in auxiliary training, of the auxiliary path.

        Args:
            inputs: Images ``(B, 3, H, W)``.
            data_samples: Their labels.

        Returns:
            dict[str, Tensor]: See :func:`lbbt_mm.models.rectifiers.two_paths.weighted_losses`.
        """
        if self.path == 'inserted':
            return super().loss(inputs, data_samples)
        if self.rectifier is None:
            features = self.extract_feat(inputs)
            return weighted_losses(self.head.loss(features, data_samples), self.aux_head.loss(features, data_samples),
                                   self.aux_weight)
        main, auxiliary = self.extract_both(inputs)
        return weighted_losses(self.head.loss(main, data_samples), self.head.loss(auxiliary, data_samples), self.aux_weight)

    def extract_both(self, inputs: Tensor) -> Tuple[Any, Any]:
        """Features of the main and of the auxiliary path, from one run of the ViT's blocks that both share.

        Args:
            inputs: Images ``(B, 3, H, W)``.

        Returns:
            tuple: What ``extract_feat`` gives, of each path.
        """
        with self._both():
            return halves(self.extract_feat(inputs))

    @contextmanager
    def _both(self) -> Iterator[None]:
        self._runs_both = True
        try:
            yield
        finally:
            self._runs_both = False

    def _pass(self, tokens: Tensor) -> Tensor:
        """What becomes of the tokens at the place of insertion."""
        if self.path == 'inserted':
            return self.rectifier(tokens)
        return side_by_side(tokens, self.rectifier(tokens)) if self._runs_both else tokens
