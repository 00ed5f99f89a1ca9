"""The ``language`` dict of a config: which language model, which blocks, which arm."""
import math
from dataclasses import dataclass, fields
from typing import Any, Dict, List, Mapping, Optional, Sequence

from .arms import ARMS
from .families import FAMILIES, read_spec
from .source import open_checkpoint
from .spec import BlockSelection, LanguageModelSpec, RotarySpec, parse_blocks

_KEYS = ('checkpoint', 'revision', 'config', 'arm', 'seed', 'extra_layers', 'fit')


@dataclass(frozen=True)
class LanguageOptions:
    """A checked ``language`` dict.

    Args:
        spec: The language model, from ``config`` or, where that is absent, from the checkpoint.
        selections: Key -> block selection, for example ``{'encoder_blocks': '0:12'}``.
        checkpoint: Hub id, folder or GGUF file.
        revision: Branch, tag or commit on the hub.
        arm: Where the start values come from, one of :data:`lbbt_mm.language.arms.ARMS`.
        seed: Seed of the arms ``random``, ``shuffled`` and ``moment_matched``, and of extra layers.
        extra_layers: ``'random'`` lets a component have more layers than blocks; the rest start at random.
        fit: How blocks meet a component of another width, where it offers that: ``'project'`` runs them at their own width,
            ``'select'`` takes a part of them (:mod:`lbbt_mm.language.weight_selection`).
    """
    spec: LanguageModelSpec
    selections: Mapping[str, BlockSelection]
    checkpoint: Optional[str] = None
    revision: Optional[str] = None
    arm: str = 'language'
    seed: int = 0
    extra_layers: Optional[str] = None
    fit: Optional[str] = None

    @classmethod
    def from_dict(cls, language: Mapping[str, Any], block_keys: Sequence[str] = ('blocks', )) -> 'LanguageOptions':
        """Check a ``language`` dict and read its spec; no weights are read.

        Args:
            language: The dict as a config writes it.
            block_keys: Keys that select blocks in the component at hand.

        Returns:
            LanguageOptions: The checked options.

        Raises:
            ValueError: If a key is unknown, a value is not among those allowed, or the model cannot be read.
        """
        if not isinstance(language, Mapping):
            raise ValueError(f'language={language!r}: expected a dict such as dict(checkpoint=..., config=...).')
        allowed = _KEYS[:3] + tuple(block_keys) + _KEYS[3:]
        unknown = [key for key in language if key not in allowed]
        if unknown:
            raise ValueError(f'language.{unknown[0]} is not an option here; expected some of: {", ".join(allowed)}. '
                             'Remove it, or set it beside `language`.')
        options = {key: language[key] for key in ('checkpoint', 'revision', 'arm', 'seed', 'extra_layers', 'fit')
                   if key in language}
        _check_choice('arm', options.get('arm', 'language'), ARMS)
        _check_choice('extra_layers', options.get('extra_layers'), (None, 'random'))
        _check_choice('fit', options.get('fit'), (None, 'project', 'select'))
        if isinstance(options.get('seed', 0), bool) or not isinstance(options.get('seed', 0), int):
            raise ValueError(f'language.seed={options["seed"]!r}: expected a whole number.')
        config, checkpoint = language.get('config'), language.get('checkpoint')
        if not config and not checkpoint:
            raise ValueError('language has neither config nor checkpoint; expected at least one. Inherit from '
                             'configs/_base_/language/, or set language.checkpoint to a hub id, folder or GGUF file.')
        if config:
            _check_sizes(config)
        spec = read_spec(config) if config else open_checkpoint(checkpoint, options.get('revision')).spec
        selections = {key: language.get(key) for key in block_keys}
        for key, selection in selections.items():
            parse_blocks(selection, spec.num_blocks, f'language.{key}')
        return cls(spec=spec, selections=selections, **options)

    def block_indices(self, key: str) -> List[int]:
        """Indices of the blocks that ``key`` selects."""
        return parse_blocks(self.selections[key], self.spec.num_blocks, f'language.{key}')

    def num_layers(self, key: str, asked: Optional[int] = None) -> int:
        """Depth of the part that ``key`` fills: the number of blocks, unless more was asked for.

        Raises:
            ValueError: If layers and blocks differ in number and ``extra_layers`` does not allow it.
        """
        chosen = len(self.block_indices(key))
        if asked is None or asked == chosen:
            return chosen
        if asked > chosen and self.extra_layers == 'random':
            return asked
        remedy = ("set num_layers to None, or language.extra_layers='random' to start the rest at random"
                  if asked > chosen else 'set num_layers to None, or select fewer blocks')
        raise ValueError(f'num_layers={asked}, but language.{key}={self.selections[key]!r} gives {chosen} blocks '
                         f'(the language model has {self.spec.num_blocks}); expected as many layers as blocks: '
                         f'{remedy}.')


def disagreements(written: LanguageModelSpec, found: LanguageModelSpec) -> List[str]:
    """Compare the spec that a config writes with the one that the checkpoint has.

    Returns:
        list[str]: One phrase for each difference that changes the blocks; empty if they agree.
    """
    pairs: Dict[str, tuple] = {'num_blocks': (written.num_blocks, found.num_blocks)}
    # llama.cpp stores Mistral as Llama: types of one family have the same blocks
    if FAMILIES[written.model_type] is not FAMILIES[found.model_type]:
        pairs['model_type'] = (written.model_type, found.model_type)
    pairs.update({field.name: (getattr(written.block, field.name), getattr(found.block, field.name))
                  for field in fields(written.block)})
    return [f'{name} {ours!r} in the config, {theirs!r} in the checkpoint'
            for name, (ours, theirs) in pairs.items() if not _equal(ours, theirs)]


def _equal(ours: Any, theirs: Any) -> bool:
    """Equality, but for the rounding of GGUF files, which store numbers as float32."""
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-6)
    if isinstance(ours, RotarySpec) and isinstance(theirs, RotarySpec):
        return (_equal(ours.theta, theirs.theta) and ours.rope_type == theirs.rope_type
                and _equal(ours.parameters, theirs.parameters))
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(_equal(ours[key], theirs[key]) for key in ours)
    return ours == theirs


def _check_sizes(config: Mapping[str, Any]) -> None:
    """A misspelt or foreign field would leave a size at its family's default, and build another model in silence."""
    names = (('hidden_size', 'n_embd'), ('num_hidden_layers', 'n_layer'), ('num_attention_heads', 'n_head'))
    hf_name = 1 if config.get('model_type') == 'gpt2' else 0
    for pair in names:
        accepted = pair if hf_name else pair[:1]
        if config.get('model_type') in FAMILIES and not any(name in config for name in accepted):
            raise ValueError(f'language.config has no {accepted[-1]}, found {", ".join(config)}; expected the sizes of a '
                             f'{config["model_type"]} model. Add it, or set config=None to read it from the checkpoint.')


def _check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        raise ValueError(f'language.{name}={value!r}: expected one of {", ".join(map(repr, choices))}.')
