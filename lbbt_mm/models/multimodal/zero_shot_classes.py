"""The classes of a zero-shot classifier: names in templates, read by a frozen language model, as prototypes."""
import hashlib
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

import torch
from mmengine.dist import barrier, is_main_process
from torch import Tensor, nn

from lbbt_mm.datasets.class_names import read_class_names
from lbbt_mm.datasets.prompt_templates import DEFAULT, class_prompts, read_templates
from lbbt_mm.files.feature_store import FeatureIndex, FeatureStore, FeatureWriter, checksum
from lbbt_mm.language.text_encoder import TextEncoder, text_identity
from .prototypes import cached_prototypes, class_prototypes, projection_checksum

#: Prompts in a file of the cache.
_SHARD_ROWS = 4096


class ZeroShotClasses:
    """Names of classes and their prototypes, which are made when they are asked for, and again when the projection changed.

    Features of the prompts are made once, and kept in ``cache``, where all trainings on one language model find them;
    prototypes are kept there too.

    Args:
        text: Config of the language model, as :class:`lbbt_mm.language.text_encoder.TextEncoder` takes it.
        classes: Names of the classes, see :func:`lbbt_mm.datasets.class_names.read_class_names`.
        templates: See :func:`lbbt_mm.datasets.prompt_templates.read_templates`. Defaults to ``A photo of a {}``.
        cache: Folder that features and prototypes are kept in. Defaults to None, in memory.
        batch_tokens: Tokens that the language model reads at once. Defaults to 4096.
        track: Shows progress over the language model's batches. Defaults to none.

    Attributes:
        names: Names of the classes.
        track: As given.

    Raises:
        FileNotFoundError: If a file of names is not there.
        ValueError: If a class has no name, or a template no place for one.
    """

    def __init__(self,
                 text: Optional[Mapping[str, Any]],
                 classes: Any,
                 templates: Any = DEFAULT,
                 cache: Optional[str] = None,
                 batch_tokens: int = 4096,
                 track: Callable[[Any], Any] = lambda batches: batches) -> None:
        if not text or not text.get('location'):
            raise ValueError('ShareLock: zero-shot classes need a language model; expected model.text=dict(location=FOLDER, '
                             'FILE.gguf or a hub id, ...). Name the one whose features the projection was trained on.')
        self.names = read_class_names(classes)
        self._prompts = class_prompts(self.names, read_templates(templates))
        self._text, self._cache = dict(text), None if cache is None else Path(cache).expanduser()
        self._batch_tokens, self.track = batch_tokens, track
        self._features: Union[Tensor, FeatureStore, None] = None
        self._made: Tuple[Any, Optional[Tensor]] = (None, None)

    def __len__(self) -> int:
        return len(self.names)

    def text_identity(self) -> Dict[str, Any]:
        """What features depend on beside the prompts, see :func:`lbbt_mm.language.text_encoder.text_identity`."""
        return text_identity(**self._text)

    def prototypes(self, projection: nn.Module, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Prototypes of the classes.

        Args:
            projection: What maps text features, in evaluation mode; its numbers say whether prototypes are still those.
            embed: Gives embeddings of unit length ``(N, D)`` of text features ``(N, C)`` by way of it.

        Returns:
            Tensor: ``(C, D)``.
        """
        state = [tensor for tensor in (*projection.parameters(), *projection.buffers())]
        now = [(tensor.data_ptr(), tensor._version) for tensor in state]
        if self._made[0] != now:
            device = state[0].device if state else torch.device('cpu')

            def make() -> Tensor:
                return class_prototypes(lambda features: embed(features.to(device)), self._prompt_features(), len(self))

            self._made = now, make() if self._cache is None else cached_prototypes(
                self._cache, dict(self._facts(), projection=projection_checksum(projection)), make)
        return self._made[1]

    def forget(self) -> None:
        """Make prototypes anew the next time; features of the prompts are kept."""
        self._made = (None, None)

    def _facts(self) -> Dict[str, Any]:
        """What features of the prompts depend on."""
        return dict(text=self.text_identity(), prompts=_checksum(self._prompts))

    def _prompt_features(self) -> Union[Tensor, FeatureStore]:
        """Features of the prompts, ``(C * T, width)``: of the main process's making where they are kept on the disk."""
        if self._features is None and self._cache is None:
            self._features = TextEncoder(**self._text).features(self._prompts, self._batch_tokens, self.track)
        elif self._features is None:
            facts = self._facts()
            name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
            folder = self._cache / f'prompts-{name}'
            if is_main_process() and not (folder / 'index.json').exists():
                self._write(folder)
            barrier()
            self._features = FeatureStore.open(folder, kind='text', inputs=facts['prompts'], model=facts['text']['model'],
                                               revision=facts['text']['revision'])
        return self._features

    def _write(self, folder: Path) -> None:
        encoder = TextEncoder(**self._text)
        index = FeatureIndex(kind='text', **encoder.identity, inputs=_checksum(self._prompts), num_rows=len(self._prompts),
                             width=encoder.width, shard_rows=_SHARD_ROWS)
        writer = FeatureWriter(folder, index, _keys(self._prompts))
        for number in writer.missing:
            rows = index.shard_range(number)
            texts = self._prompts[rows.start:rows.stop]
            writer.write(number, encoder.features(texts, self._batch_tokens, self.track))
        writer.finish()


def _keys(prompts: List[str]) -> List[str]:
    return [str(number) for number in range(len(prompts))]


def _checksum(prompts: List[str]) -> str:
    return checksum((key, prompt.encode()) for key, prompt in zip(_keys(prompts), prompts))
