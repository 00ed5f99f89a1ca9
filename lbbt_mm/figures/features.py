"""Features of a trained model at a stage, and the true labels of the images they are of."""
from typing import Any, List, Tuple, Union

import torch
from torch import Tensor, nn

from lbbt_mm.config_keys import find_types
from .parts import digest
from .preprocessing import preprocess
from .trained import OpenedRun

#: What mmpretrain's ``extract_feat`` calls its stages; a number is a block
STAGES = ('backbone', 'neck', 'pre_logits')
#: What data samples of detection and segmentation have in the place of an image's label, and of what it is
_OTHER_LABELS = dict(gt_instances='boxes', gt_sem_seg='pixels')


def part_name(run: OpenedRun, *what: Any, start: bool) -> str:
    """A name for a part of a computation, for :class:`~lbbt_mm.figures.parts.Parts`, that another run does not share.

    Args:
        run: The run.
        *what: What else the part depends on.
        start: Whether it depends on the run's start, and so on the files that this is made of.
    """
    question = run.question_of_start if start else run.question
    return digest([question, *what])


@torch.no_grad()
def read_features(run: OpenedRun, model: nn.Module, split: str, most: int, batch_size: int,
                  stage: Union[str, int] = 'pre_logits') -> Tuple[Tensor, Tensor]:
    """Features of evenly spaced images, and their true labels.

    Args:
        run: The run.
        model: Its model.
        split: ``train``, ``val`` or ``test``.
        most: How many images.
        batch_size: How many at once.
        stage: One of :data:`STAGES`, by default what the head classifies; or a block's number, from 0 or, from the last, -1:
            its output, in the form of the backbone's ``out_type``. Where it has more dimensions than one, their mean.

    Returns:
        tuple: Features ``(N, C)``, float32, and labels ``(N, )``, both on the CPU.

    Raises:
        ValueError: If the model has no such stage, or an image no true label.
    """
    features, labels = [], []
    for images, samples in run.images(split, most, batch_size):
        labels.append(true_labels(run, split, samples))  # first, since this may fail
        inputs = preprocess(model, images, samples)['inputs']
        found = _of_block(model, inputs, stage) if isinstance(stage, int) else _of_stage(model, inputs, stage)
        features.append(_one_vector(found).float().cpu())
    return torch.cat(features), torch.cat(labels)


def true_labels(run: OpenedRun, split: str, samples: List[Any]) -> Tensor:
    """True labels, also where a model is trained on random ones.

    Args:
        run: The run.
        split: Which of its data sets the samples are of.
        samples: Data samples of mmpretrain.

    Raises:
        ValueError: If a sample has none, or several.
    """
    key = 'true_label' if all(hasattr(sample, 'true_label') for sample in samples) else 'gt_label'
    where = f'{run.name}: the {split} split'
    if key == 'gt_label':
        drawn = list(find_types(run.cfg.get(f'{split}_dataloader'), 'RandomLabel', 'RandomLabelDataset'))
        if drawn:
            raise ValueError(f'{where} has random labels; expected samples with a true_label. Add it to meta_keys of '
                             'PackInputs, or take another split.')
    for name, what in _OTHER_LABELS.items():
        if any(hasattr(sample, name) and not hasattr(sample, key) for sample in samples):
            raise ValueError(f'{where} has labels of {what}, and this figure tells apart classes of images; expected one '
                             'label for each image. Leave the run out, or give that of a classifier.')
    if any(getattr(sample, key, None) is None for sample in samples):
        raise ValueError(f'{where} has samples without a label; expected one each. Take a split with labels.')
    if any(torch.as_tensor(getattr(sample, key)).numel() != 1 for sample in samples):
        raise ValueError(f'{where} has samples with several labels; expected one each.')
    return labels_of(samples, key)


def labels_of(samples: List[Any], key: str = 'gt_label') -> Tensor:
    """Class labels of data samples of mmpretrain.

    Args:
        samples: Data samples.
        key: ``gt_label``, or ``true_label`` where labels are random.

    Returns:
        Tensor: ``(B, )``, int64.
    """
    return torch.tensor([int(getattr(sample, key)) for sample in samples])


def check_labels(run: OpenedRun, split: str) -> None:
    """Look at an image's label before models are made.

    Args:
        run: The run.
        split: ``train``, ``val`` or ``test``.

    Raises:
        ValueError: If it has no true label, as those of detectors and segmentors.
    """
    for _, samples in run.images(split, 1, 1):
        true_labels(run, split, samples)


def check_stage(model: nn.Module, stage: Union[str, int]) -> None:
    """Refuse a model that has no such stage.

    Args:
        model: The model.
        stage: As :func:`read_features` takes it.

    Raises:
        ValueError: If it has none.
    """
    if isinstance(stage, str) and not hasattr(getattr(model, 'head', None), 'pre_logits'):
        raise ValueError(f'{type(model).__name__} has no head with pre_logits; expected an image classifier of mmpretrain. '
                         'Give the run of a bridge, a probe or a classifier.')


def _of_stage(model: nn.Module, inputs: Tensor, stage: str) -> Tensor:
    check_stage(model, stage)
    found = model.extract_feat(inputs, stage=stage)
    return found[-1] if isinstance(found, (tuple, list)) else found


def _of_block(model: nn.Module, inputs: Tensor, number: int) -> Tensor:
    """The output of a block, pooled as the backbone pools the last one's."""
    backbone = getattr(model, 'backbone', None)
    blocks = getattr(backbone, 'blocks', [])
    if not hasattr(backbone, 'pool') or not -len(blocks) <= number < len(blocks):
        has = f'has {len(blocks)} blocks' if hasattr(backbone, 'pool') else 'is no lbbt_mm.LLMBackbone'
        raise ValueError(f'--stage {number}: the backbone {has}; expected the number of one of its blocks, or one of '
                         f'{", ".join(STAGES)}.')
    number, outputs = number % len(blocks), []
    handle = blocks[number].register_forward_hook(lambda block, args, output: outputs.append(output))
    try:
        backbone(inputs)
    finally:
        handle.remove()
    if not outputs:
        raise ValueError(f'--stage {number}: block {number} does not run, being behind the last of out_indices; expected '
                         'one that does. Give a lower number.')
    tokens = outputs[0]
    # as one row of patches: their places do not matter for a mean
    return backbone.pool(tokens, (1, tokens.shape[1] - backbone.num_extra_tokens), number == backbone.num_layers - 1)


def _one_vector(features: Tensor) -> Tensor:
    """One vector for each image, of ``(B, C)``, tokens ``(B, N, C)`` or a map ``(B, C, H, W)``."""
    if features.ndim == 4:
        return features.mean(dim=(2, 3))
    return features.mean(dim=1) if features.ndim == 3 else features
