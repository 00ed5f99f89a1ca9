"""Checkpoints that a test changes: their fields, their tensors, the names of these."""
import json
from pathlib import Path
from typing import Any, Callable

import torch
from safetensors.torch import load_file, save_file

from lbbt_mm.language import LanguageCheckpoint, open_checkpoint
from tests.tiny_checkpoints import build_model


def saved(folder: Path, model_type: str = 'llama', **fields: Any) -> Path:
    """Save a tiny model of these config fields."""
    build_model(model_type, **fields).save_pretrained(folder)
    return folder


def edit_config(folder: Path, **fields: Any) -> None:
    """Set fields of a checkpoint's config."""
    path = folder / 'config.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def edit_weights(folder: Path, edit: Callable[[dict], Any]) -> None:
    """Rewrite a checkpoint after ``edit`` changed its dict of tensors."""
    tensors = load_file(folder / 'model.safetensors')
    edit(tensors)
    save_file(tensors, folder / 'model.safetensors')


def rename_tensors(folder: Path, rule: Callable[[str], str]) -> None:
    """Give each tensor of a checkpoint another name."""
    path = folder / 'model.safetensors'
    save_file({rule(name): tensor for name, tensor in load_file(path).items()}, path)


def opened(location: Any) -> LanguageCheckpoint:
    """Open a checkpoint and read a block."""
    checkpoint = open_checkpoint(location)
    checkpoint.read_block(1)
    return checkpoint


def is_the_model(location: Any, model_type: str = 'llama', **fields: Any) -> bool:
    """Whether a checkpoint's blocks are those of the tiny model."""
    read = open_checkpoint(location).read_block(1)
    expected = build_model(model_type, **fields).model.layers[1].state_dict()
    return read.keys() == {f'layers.1.{name}' for name in expected} and all(
        torch.equal(read[f'layers.1.{name}'], tensor) for name, tensor in expected.items())
