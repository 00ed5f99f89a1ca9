"""LanguageDETR: mmdet's DETR whose transformer is made of language-model blocks (LBBT, Table 6)."""
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from mmdet.models.detectors import DETR
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor, nn

from lbbt_mm.language.options import LanguageOptions
from lbbt_mm.models.initializers.init_steps import with_language_init
from lbbt_mm.models.input_widths import one_width
from lbbt_mm.models.layers import LanguageDETRDecoder, LanguageDETREncoder
from lbbt_mm.registry import MODELS

# layer_cfg and post_norm_cfg describe mmdet's own layers, which are not built here.
_KEYS = dict(encoder=('num_layers', ), decoder=('num_layers', 'return_intermediate'))


@MODELS.register_module()
class LanguageDETR(DETR):
    """DETR with language-model blocks as its encoder and decoder layers.

    Losses, matcher, head and test-time behaviour are mmdet's. Every width that follows from the language model may be
    None (``neck.out_channels``, ``positional_encoding.num_feats``, ``bbox_head.embed_dims``) and so may both depths.
    Building, testing and resuming need neither weights nor a network where ``language.config`` is given.

    Choices where the paper is silent: attention is bidirectional; norms stay where the language model has them, so that a
    block keeps the function that was pretrained; with ``norm='pre'``, which most have, positions are added to normalised
    queries and keys and, like the memory, get the norm's gain with them (see :meth:`LanguageBlock._gain`), cross-attention
    gets a norm that copies the block's first, and fresh final norms follow encoder and decoder; with ``norm='post'`` (the
    original DETR order) the norms are copied by name to the place after each residual sum.

    Args:
        language: ``checkpoint, revision, config, encoder_blocks, decoder_blocks, arm, seed, fresh, extra_layers``; see
            :class:`lbbt_mm.language.options.LanguageOptions`.
        norm: ``pre`` or ``post``. Defaults to None, the language model's own.
        attn_drop: Dropout rate of attention weights. Defaults to 0., which keeps the fused kernels.
        proj_drop: Dropout rate of attention output, hidden units and feed-forward output. Defaults to 0.1, DETR's.
        drop_path_rate: Stochastic-depth rate of the last layer of each stack. Defaults to 0.
        with_cp: Whether to recompute activations in the backward pass. Defaults to False.
        attention_kernel: What computes attention, see :func:`lbbt_mm.models.layers.attention.attend`. Defaults to ``auto``.
        encoder: ``dict(num_layers=None)``; a depth beyond the chosen blocks needs ``extra_layers='random'``.
        decoder: ``dict(num_layers=None, return_intermediate=True)``.
        **kwargs: ``backbone, neck, bbox_head, positional_encoding, num_queries, train_cfg, test_cfg,
            data_preprocessor, init_cfg`` as in mmdet's DETR. With a loading step in ``init_cfg``, such as ``Pretrained``, no
            language weights are copied.
    """

    def __init__(self,
                 language: Mapping[str, Any],
                 norm: Optional[str] = None,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.1,
                 drop_path_rate: float = 0.,
                 with_cp: bool = False,
                 attention_kernel: str = 'auto',
                 encoder: Optional[Mapping[str, Any]] = None,
                 decoder: Optional[Mapping[str, Any]] = None,
                 **kwargs) -> None:
        options = LanguageOptions.from_dict(language, ('encoder_blocks', 'decoder_blocks'))
        # Plain attributes may be set before nn.Module.__init__; DETR builds its layers from within that call.
        self.language = options
        self._block_options = dict(norm=norm, attn_drop=attn_drop, proj_drop=proj_drop, drop_path_rate=drop_path_rate,
                                   with_cp=with_cp, attention_kernel=attention_kernel)
        _check_queries(kwargs)
        super().__init__(encoder=_coder_options('encoder', encoder, options), **_infer_widths(kwargs, options),
                         decoder=_coder_options('decoder', decoder, options))
        self.init_cfg = with_language_init(self.init_cfg, language, targets={
            'encoder.layers': 'encoder_blocks', 'decoder.layers': 'decoder_blocks'})

    def _init_layers(self) -> None:
        spec = self.language.block('encoder_blocks', 'decoder_blocks')
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)
        self.encoder = LanguageDETREncoder(spec, **self.encoder, **self._block_options)
        self.decoder = LanguageDETRDecoder(spec, **self.decoder, **self._block_options)
        self.embed_dims = spec.embed_dims
        self.query_embedding = nn.Embedding(self.num_queries, self.embed_dims)

    def init_weights(self) -> None:
        """Initialise DETR's own way, then copy the language blocks (unless the arm is ``host``)."""
        for coder in (self.encoder, self.decoder):
            coder.init_weights()
        # DETR's own init_weights would Xavier-fill encoder and decoder again, after the copy.
        super(DETR, self).init_weights()

    def forward_transformer(self, img_feats: Tuple[Tensor], batch_data_samples=None) -> Dict[str, Tensor]:
        """Run the transformer; its output is float32 under autocast too, for the head's matching and losses.

        Args:
            img_feats: The neck's feature maps, of which the last is used, ``(B, C, H, W)``.
            batch_data_samples: Data samples, for the padding mask.

        Returns:
            dict: ``hidden_states`` of shape ``(num_layers, B, Q, C)``.
        """
        inputs = super().forward_transformer(img_feats, batch_data_samples)
        return dict(inputs, hidden_states=inputs['hidden_states'].float())

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> Dict[str, Tensor]:
        """Compute DETR's losses, the head in float32.

        Args:
            batch_inputs: Images ``(B, 3, H, W)``.
            batch_data_samples: Their annotations.

        Returns:
            dict[str, Tensor]: Losses by name.
        """
        inputs = self.forward_transformer(self.extract_feat(batch_inputs), batch_data_samples)
        with torch.autocast(batch_inputs.device.type, enabled=False):
            return self.bbox_head.loss(**inputs, batch_data_samples=batch_data_samples)

    def forward_encoder(self, feat: Tensor, feat_mask: Optional[Tensor], feat_pos: Tensor) -> Dict[str, Tensor]:
        """Run the encoder.

        Args:
            feat: Image features ``(B, N, C)``.
            feat_mask: Padding mask ``(B, N)``, True at padding, or None.
            feat_pos: Positions ``(B, N, C)``.

        Returns:
            dict: ``memory`` of shape ``(B, N, C)``.
        """
        return dict(memory=self.encoder(feat, feat_pos, _attend_mask(feat_mask)))

    def forward_decoder(self, query: Tensor, query_pos: Tensor, memory: Tensor, memory_mask: Optional[Tensor],
                        memory_pos: Tensor) -> Dict[str, Tensor]:
        """Run the decoder.

        Args:
            query: Object queries ``(B, Q, C)``.
            query_pos: Their learned positions ``(B, Q, C)``.
            memory: The encoder's output ``(B, N, C)``.
            memory_mask: Padding mask ``(B, N)``, True at padding, or None.
            memory_pos: Positions ``(B, N, C)``.

        Returns:
            dict: ``hidden_states`` of shape ``(num_layers, B, Q, C)``.
        """
        states = self.decoder(query, query_pos, memory, memory_pos, _attend_mask(memory_mask))
        return dict(hidden_states=states)


def _attend_mask(padding: Optional[Tensor]) -> Optional[Tensor]:
    """Turn DETR's padding mask ``(B, N)`` into attention's ``(B, 1, 1, N)``, True where attending is allowed."""
    return None if padding is None else ~padding.to(torch.bool)[:, None, None, :]


def _coder_options(name: str, written: Optional[Mapping[str, Any]], options: LanguageOptions) -> Dict[str, Any]:
    written = dict(written or {})
    unknown = [key for key in written if key not in _KEYS[name]]
    if unknown:
        raise ValueError(
            f'{name}.{unknown[0]} is not an option of LanguageDETR (found {name}={written!r}): its layers follow from the '
            f'language model. Expected only {", ".join(_KEYS[name])}; a config that inherits mmdet\'s writes '
            f'{name}=dict(_delete_=True).')
    return dict(written, num_layers=options.num_layers(f'{name}_blocks', written.get('num_layers')))


def _check_queries(kwargs: Mapping[str, Any]) -> None:
    """mmdet's head takes the ``max_per_img`` best of ``num_queries``, and fails in the first evaluation if it cannot."""
    queries = kwargs.get('num_queries', 100)
    asked = (kwargs.get('test_cfg') or {}).get('max_per_img', queries)
    if asked > queries:
        raise ValueError(f'test_cfg.max_per_img={asked} exceeds num_queries={queries}; expected at most as many detections '
                         'as queries. Lower the first or raise the second.')


def _infer_widths(kwargs: Dict[str, Any], options: LanguageOptions) -> Dict[str, Any]:
    """Fill in widths that are None; a written width must agree with the language model's."""
    width = options.spec.block.embed_dims
    if width % 4:
        raise ValueError(f'the language model is {width} wide; DETR\'s sine positions need a multiple of 4. Choose '
                         'another language model.')
    kwargs = {**kwargs, 'positional_encoding': kwargs.get('positional_encoding') or dict(num_feats=None, normalize=True)}
    model = (f'the language model {options.spec.model_type} {options.checkpoint or "(language.config)"}, which is {width} '
             'wide')
    for part, key, expected in (('neck', 'out_channels', width), ('bbox_head', 'embed_dims', width),
                                ('positional_encoding', 'num_feats', width // 2)):
        if kwargs.get(part) is not None:  # only the neck may be absent
            # mm's builders take ConfigDict; `copy` keeps the type and leaves the caller's config alone
            kwargs[part] = kwargs[part].copy()
            kwargs[part][key] = one_width(f'{part}.{key}', kwargs[part].get(key), expected, model)
    return kwargs
