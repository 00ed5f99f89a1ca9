"""Figures of trained models: checkpoints and configs in; a picture, its numbers and a table out. One module a figure."""
