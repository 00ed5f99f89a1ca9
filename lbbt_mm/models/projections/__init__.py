"""Projections from the features of one frozen model to the width of another."""
from .mlp_projection import MLPProjection

__all__ = ['MLPProjection']
