"""The ``language`` dict of a config: which language model, which blocks, which arm."""
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from lbbt_mm.argument_checks import check_choice, check_count
from .activations import ACTIVATIONS
from .arms import ARMS, DEFAULT_ARM, EXTRA_LAYERS_ARM, FRESH_ARM
from .families import FAMILIES, read_spec
from .rotary import same_function
from .source import open_checkpoint
from .spec import BlockSelection, BlockSpec, LanguageModelSpec, parse_blocks
from .spec_checks import check_std

_KEYS = ('checkpoint', 'revision', 'config', 'arm', 'seed', 'fresh', 'extra_layers', 'init_std', 'fit')
#: What can start at random whatever the arm is
_FRESH = ('blocks', 'position_table', 'final_norm')


@dataclass(frozen=True)
class LanguageOptions:
    """A checked ``language`` dict.

    Args:
        spec: The language model, from ``config`` or, where that is absent, from the checkpoint.
        selections: Key -> block selection, for example ``{'encoder_blocks': '0:12'}``.
        checkpoint: Hub id, folder or GGUF file.
        revision: Branch, tag or commit on the hub.
        arm: Where the start values come from, one of :data:`lbbt_mm.language.arms.ARMS`. Of a backbone whose blocks came
            from a checkpoint it is what that says, None where it says nothing.
        seed: Seed of the arms ``random``, ``shuffled`` and ``moment_matched``, and of extra layers.
        fresh: Which of ``blocks``, ``position_table`` and ``final_norm`` start as the arm ``random`` does, while the others
            start as ``arm`` says: to tell which of them an effect comes from. Not with ``host`` and ``random_tuned``.
        extra_layers: ``'random'`` lets a component have more layers than blocks; the rest start at random.
        fit: How blocks meet a component of another width, where it offers that: ``'project'`` runs them at their own width,
            ``'select'`` takes a part of them (:mod:`lbbt_mm.language.weight_selection`).
        init_std: Standard deviation that the arm ``random_tuned`` draws with; for ``random`` and extra layers the language
            model's own, where its config does not state it (``initializer_range``; GGUF files never do).
    """
    spec: LanguageModelSpec
    selections: Mapping[str, BlockSelection]
    checkpoint: Optional[str] = None
    revision: Optional[str] = None
    arm: Optional[str] = DEFAULT_ARM
    seed: Optional[int] = 0
    fresh: Sequence[str] = ()
    extra_layers: Optional[str] = None
    fit: Optional[str] = None
    init_std: Optional[float] = None

    @classmethod
    def from_dict(cls, language: Mapping[str, Any], block_keys: Sequence[str] = ('blocks', ),
                  offers_fit: bool = False, offers_no_blocks: bool = False) -> 'LanguageOptions':
        """Check a ``language`` dict and read its spec; no weights are read.

        Args:
            language: The dict as a config writes it.
            block_keys: Keys that select blocks in the component at hand.
            offers_fit: Whether it has another width than the language model, so that ``fit`` is an option there.
            offers_no_blocks: Whether it can do without blocks, as a rectifier can.

        Returns:
            LanguageOptions: The checked options.

        Raises:
            ValueError: If a key is unknown, a value is not among those allowed, or the model cannot be read.
        """
        if not isinstance(language, Mapping):
            raise ValueError(f'language={language!r}: expected a dict such as dict(checkpoint=..., config=...).')
        allowed = (*_KEYS[:3], *block_keys, *_KEYS[3:None if offers_fit else -1])
        unknown = [key for key in language if key not in allowed and (key, language[key]) != ('fit', None)]
        if unknown:
            raise ValueError(f'language.{unknown[0]} is not an option here; expected some of: {", ".join(allowed)}. '
                             'Remove it, or set it beside `language`.')
        options = {key: language[key] for key in _KEYS if key in language and key != 'config'}
        check_choice('language.arm', options.get('arm', DEFAULT_ARM), ARMS)
        fresh = options.get('fresh', ())
        for part in fresh if isinstance(fresh, (list, tuple)) else [fresh]:
            check_choice('language.fresh', part, _FRESH)
        arm = ARMS[options.get('arm', DEFAULT_ARM)]
        if not (arm.has_blocks or offers_no_blocks):
            raise ValueError(f'language.arm={options["arm"]!r} leaves the language blocks out, which only a rectifier can; '
                             f'expected one of {", ".join(name for name, other in ARMS.items() if other.has_blocks)}.')
        if fresh and (not arm.has_blocks or arm.leaves_host or arm.asks_std):
            raise ValueError(f'language.fresh={fresh!r} beside arm={options["arm"]!r}: expected an arm that reads weights, '
                             "or 'random'. Remove one of the two.")
        check_choice('language.extra_layers', options.get('extra_layers'), (None, EXTRA_LAYERS_ARM))
        check_choice('language.fit', options.get('fit'), (None, 'project', 'select'))
        check_count('language.seed', options.get('seed', 0), least=-math.inf)
        config, checkpoint = language.get('config'), language.get('checkpoint')
        if isinstance(checkpoint, Path):
            options['checkpoint'] = checkpoint = str(checkpoint)
        if not config and not checkpoint:
            raise ValueError('language has neither config nor checkpoint; expected at least one. Inherit from '
                             'configs/_base_/language/, or set language.checkpoint to a hub id, folder or GGUF file.')
        if config:
            _check_sizes(config)
        spec = read_spec(config) if config else open_checkpoint(checkpoint, options.get('revision')).spec
        _check_init_std(options.get('arm', DEFAULT_ARM), options.get('init_std'), spec)
        selections = {key: language.get(key) for key in block_keys}
        for key, selection in selections.items():
            parse_blocks(selection, spec.num_blocks, f'language.{key}')
        return cls(spec=spec, selections=selections, **options)

    @classmethod
    def check_random_start(cls, language: Mapping[str, Any]) -> None:
        """Check before a series of runs that the language model's own random start is known; nothing is downloaded for that.

        Args:
            language: The dict as a config writes it; its ``arm`` is not looked at.

        Raises:
            ValueError: See :meth:`drawn_spec`.
        """
        config, checkpoint = language.get('config'), language.get('checkpoint')
        at_hand = checkpoint and Path(str(checkpoint)).expanduser().exists()
        if config or at_hand:
            spec = read_spec(config) if config else open_checkpoint(checkpoint).spec
            cls(spec, {}, checkpoint, arm=EXTRA_LAYERS_ARM, init_std=language.get('init_std')).drawn_spec()

    def drawn_spec(self) -> LanguageModelSpec:
        """The language model with the standard deviation that its random arms and extra layers are drawn with.

        Raises:
            ValueError: If neither its config nor ``init_std`` states one.
        """
        own = self.spec.initializer_range
        std = self.init_std if ARMS[self.arm].asks_std or own is None else own
        if std is None:
            raise ValueError(
                f"language.arm={self.arm!r}: the config of {self.checkpoint or 'the language model'} does not state "
                f'{FAMILIES[self.spec.model_type].std}, the standard deviation that a random start is drawn with (GGUF '
                'files never do, and models differ by more than twice). Set language.init_std, to the value in the '
                "model's config.json.")
        return replace(self.spec, initializer_range=std)

    def arm_of(self, part: str) -> str:
        """The arm that ``blocks``, ``position_table`` or ``final_norm`` start from."""
        return FRESH_ARM if part in self.fresh else self.arm

    def check_final_norm(self, component: str) -> None:
        """Refuse to take the norm behind the last block where the language model has none.

        Args:
            component: Which component asks for it, for the message.

        Raises:
            ValueError: If there is none.
        """
        if not self.spec.has_final_norm:
            raise ValueError(f"{component}: final_norm='language', but this {self.spec.model_type} model has no norm behind "
                             "its last block. Choose another final_norm, or a language model that has one.")

    def block_indices(self, key: str) -> List[int]:
        """Indices of the blocks that ``key`` selects."""
        return parse_blocks(self.selections[key], self.spec.num_blocks, f'language.{key}')

    def block(self, *keys: str) -> BlockSpec:
        """What a block is, with the narrowest sliding window among the blocks that ``keys`` select."""
        return self.spec.chosen_block([index for key in keys for index in self.block_indices(key)])

    def num_layers(self, key: str, asked: Optional[int] = None) -> int:
        """Depth of the part that ``key`` fills: the number of blocks, unless more was asked for.

        Raises:
            ValueError: If layers and blocks differ in number and ``extra_layers`` does not allow it.
        """
        chosen = len(self.block_indices(key))
        if asked is None or asked == chosen:
            return chosen
        if asked > chosen and self.extra_layers == EXTRA_LAYERS_ARM:
            return asked
        remedy = ("set num_layers to None, or language.extra_layers='random' to start the rest at random"
                  if asked > chosen else 'set num_layers to None, or select fewer blocks')
        raise ValueError(f'num_layers={asked}, but language.{key}={self.selections[key]!r} gives {chosen} blocks '
                         f'(the language model has {self.spec.num_blocks}); expected as many layers as blocks: '
                         f'{remedy}.')


def disagreements(written: LanguageModelSpec, found: LanguageModelSpec) -> List[str]:
    """Compare the spec that a config writes with the one that the checkpoint has.

    Returns:
        list[str]: One phrase for each difference that changes the blocks or an arm; empty if they agree.
    """
    ours, theirs = written.block, found.block
    pairs: Dict[str, tuple] = {'num_blocks': (written.num_blocks, found.num_blocks)}
    # a GGUF file says no more of the family than llama.cpp's name, nothing of the range, and of windows only that they are
    one, other = (FAMILIES[spec.model_type].architecture or spec.model_type for spec in (written, found))
    if one != other:
        pairs['model_type'] = (written.model_type, found.model_type)
    pairs.update({field.name: (getattr(ours, field.name), getattr(theirs, field.name)) for field in fields(ours)})
    if None not in (written.initializer_range, found.initializer_range):
        pairs[FAMILIES[written.model_type].std] = (written.initializer_range, found.initializer_range)
    if found.windows or 'vocab_size' in found.config:
        pairs['sliding windows'] = (written.windows, found.windows)
    rotary = pairs.pop('rotary')
    differing = {name: pair for name, pair in pairs.items() if not _equal(*pair)}
    # how a rule is written differs between formats; what counts is how it rotates
    if (rotary != (None, None) if None in rotary else ours.head_dims == theirs.head_dims
            and not same_function(*rotary, theirs.head_dims, theirs.num_heads)):
        differing['rotary'] = rotary
    return [f'{name} {pair[0]!r:.300} in the config, {pair[1]!r:.300} in the checkpoint' for name, pair in differing.items()]


def _equal(ours: Any, theirs: Any) -> bool:
    """Equality, but for the rounding of GGUF files, which store numbers as float32, and for names of one function."""
    if isinstance(ours, str) and isinstance(theirs, str):
        return ACTIVATIONS.get(ours, ours) == ACTIVATIONS.get(theirs, theirs)
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-6)
    return ours == theirs


def _check_sizes(config: Mapping[str, Any]) -> None:
    """A misspelt or foreign field would leave a size at its family's default, and build another model in silence."""
    family = FAMILIES.get(config.get('model_type'))
    for names in family.sizes if family else ():
        if not any(name in config for name in names):
            raise ValueError(f'language.config has no {names[0]}, found {", ".join(config)}; expected the sizes of a '
                             f'{config["model_type"]} model. Add it, or set config=None to read it from the checkpoint.')


def _check_init_std(arm: str, init_std: Any, spec: LanguageModelSpec) -> None:
    if init_std is None:
        if ARMS[arm].asks_std:
            raise ValueError(f'language.arm={arm!r} has no init_std; expected the standard deviation that it is drawn with. '
                             f'Set language.init_std, or let tools/compare_arms.py --arms {arm} --stds ... choose.')
        return
    check_std('language.init_std', init_std)
    own = spec.initializer_range
    if ARMS[arm].is_drawn and not ARMS[arm].asks_std and own is not None and not _equal(float(init_std), own):
        asking = next(name for name, other in ARMS.items() if other.asks_std)
        raise ValueError(f"language.init_std={init_std!r}, but the language model's own {FAMILIES[spec.model_type].std} is "
                         f'{own:g}, and arm={arm!r} is its own random start. Remove init_std, or set arm={asking!r}.')
