"""What every rectified model has: a rectifier at a place of its backbone, in the forward pass or on an auxiliary path."""
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Mapping

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from lbbt_mm.argument_checks import check_choice, check_number
from lbbt_mm.language.arms import ARMS
from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.models.blocks import token_blocks
from lbbt_mm.models.initializers.init_steps import steps_of
from lbbt_mm.models.input_widths import with_input_width
from lbbt_mm.registry import MODELS, type_name
from .insertion import Place, block_index, check_place, insert
from .two_paths import AuxiliaryHead, halves, refuse_shared_statistics, side_by_side, weighted_losses


class RectifiedModel(BaseModule):
    """Is put in front of a host library's model in a class's bases; the model calls :meth:`add_rectifier` once it is built.

    Attributes:
        takes_images: Whether what its backbone takes are images ``(B, 3, H, W)``, with which a backbone can be tried out.
        rectifier: The rectifier, or None.
        aux_head: The auxiliary head of auxiliary training without a rectifier, or None.
        path: ``auxiliary`` or ``inserted``; of an arm without an added loss always ``inserted``.
        aux_weight: Weight of the auxiliary loss, lambda of the rectifier paper's Eq. 10.
    """

    takes_images = False

    def add_rectifier(self, rectifier: Mapping[str, Any], insert_after: Place, path: str, aux_weight: float,
                      behind: Mapping[str, nn.Module], make_head: Callable[[], nn.Module]) -> None:
        """Insert a rectifier into ``self.backbone``, by a hook.

        Args:
            rectifier: Its config, without ``in_channels``.
            insert_after: See :func:`lbbt_mm.models.rectifiers.insertion.block_index`.
            path: ``auxiliary`` or ``inserted``.
            aux_weight: Weight of the auxiliary loss.
            behind: What runs behind the backbone for both paths at once, by name.
            make_head: Builds a head like the model's own.

        Raises:
            ValueError: If the backbone has no such place, or an option has a value that it cannot have.
        """
        check_choice(f'{type(self).__name__}: path', path, ('auxiliary', 'inserted'))
        blocks, width = token_blocks(self.backbone), self.backbone.embed_dims
        options = LanguageOptions.from_dict(rectifier.get('language'), offers_no_blocks=True)
        arm = ARMS[options.arm]
        self.path = path if arm.has_added_loss else 'inserted'
        self.insert_after, self._runs_both = block_index(insert_after, len(blocks)), False
        self.rectifier = self.aux_head = None
        # a tensor that is changed in place: a compiled step would be compiled anew for each value of a number
        self.register_buffer('_aux_weight', torch.zeros(()), persistent=False)
        self.set_aux_weight(aux_weight)
        with torch.random.fork_rng(devices=[]):  # the plain model draws the same numbers with every arm
            if arm.has_blocks or arm.has_mappers:
                self.rectifier = MODELS.build(with_input_width('rectifier', {'in_channels': None, **rectifier}, width))
                if self.takes_images:
                    check_place(self.backbone, self.insert_after)
                insert(blocks, self.insert_after, self._pass, width)
            elif self.path == 'auxiliary':
                self.aux_head = AuxiliaryHead(width, options.block('blocks').embed_dims, make_head())
        if self.rectifier is not None and self.path == 'auxiliary':
            later = {f'backbone block {index}': blocks[index] for index in range(self.insert_after + 1, len(blocks))}
            refuse_shared_statistics({**later, **behind})

    def place_of(self, insert_after: Place) -> int:
        """The index of the block that a place in this backbone is behind: what two ways to write it have in common.

        Raises:
            ValueError: If the backbone has no such place.
        """
        return block_index(insert_after, len(token_blocks(self.backbone)))

    def init_weights(self) -> None:
        """Initialise the plain model as without a rectifier, then what is added to it; a checkpoint is loaded behind both.

        So it starts from the same weights with every arm, and the model's own ``init_cfg`` leaves the blocks alone, unless
        a checkpoint that it loads holds them.
        """
        steps = [] if self.is_init else steps_of(self.init_cfg)
        loading = [step for step in steps if type_name(step) in ('Pretrained', 'PretrainedInit')]
        if loading:
            self.init_cfg = [step for step in steps if step not in loading]
        added = {name: self._modules.pop(name) for name in ('rectifier', 'aux_head') if name in self._modules}
        try:
            super().init_weights()
        finally:
            self._modules.update(added)
        for part in added.values():
            part.init_weights()
        if loading:
            self.init_cfg, self.is_init = loading, False
            BaseModule.init_weights(self)  # the children are initialised by now
            self.init_cfg = steps

    def set_aux_weight(self, weight: float) -> None:
        """Set the weight of the auxiliary loss.

        Raises:
            ValueError: If it is not between 0 and 1.
        """
        check_number('aux_weight', weight, ', the weight of the auxiliary loss', least=0, most=1)
        self._aux_weight.fill_(weight)

    @property
    def aux_weight(self) -> float:
        """The weight of the auxiliary loss."""
        return float(self._aux_weight)

    def weighted(self, main: Mapping[str, Tensor], auxiliary: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """Both paths' losses with their weights: see :func:`lbbt_mm.models.rectifiers.two_paths.weighted_losses`."""
        return weighted_losses(main, auxiliary, self._aux_weight)

    def of_both_paths(self, extract: Callable[[], Any]) -> tuple:
        """Features of the main and of the auxiliary path, from one run of the blocks that both share.

        Args:
            extract: Runs the backbone, and what is behind it up to the head.

        Returns:
            tuple: What ``extract`` gives, of each path.
        """
        with self._both():
            return halves(extract())

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
