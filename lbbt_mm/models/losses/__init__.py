"""Contrastive losses over image-text pairs, of all ranks together."""
from .info_nce_loss import InfoNCELoss
from .sigmoid_pair_loss import SigmoidPairLoss

__all__ = ['InfoNCELoss', 'SigmoidPairLoss']
