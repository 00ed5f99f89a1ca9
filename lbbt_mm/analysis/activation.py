"""Neuron activation ratio: the share of pairs of an image and a neuron that are active (LBBT, Fig. 7, Eqs. 5 and 6)."""
from typing import Dict, List, Optional

import torch
from torch import Tensor

#: When an image activates a neuron: as the paper defines it, and as its public code counts
VARIANTS = ('paper', 'public')
#: What of an image the model gets, see :func:`control_images`
IMAGES = ('real', 'pixels', 'noise', 'constant')
#: A neuron is active in the public code above this share of its layer's mean
PUBLIC_SHARE = 0.6


class ActivationRatio:
    """Count, batch by batch, how many images activate each neuron of a layer.

    - ``'paper'``, Eq. 5: the mean of the neuron over an image's tokens is above 0.
    - ``'public'`` (Yaxin9Luo/cross_modality_llm, neuron_activation_heatmap.py): the mean of its absolute value over the
      tokens is above 0.6 times the mean of that over all neurons and images. It keeps one number for each image and neuron,
      since the threshold is known at the end only; so it does not depend on the size of the batches.

    Args:
        variant: One of :data:`VARIANTS`. Defaults to ``'paper'``.
    """

    def __init__(self, variant: str = 'paper') -> None:
        self._variant = variant
        self._active: Optional[Tensor] = None
        self._magnitudes: List[Tensor] = []
        self._finite = True
        #: How many images were counted.
        self.images = 0

    @torch.no_grad()
    def add(self, activations: Tensor, tokens: Optional[Tensor] = None) -> None:
        """Count a batch.

        Args:
            activations: Of a layer, ``(B, T, F)``.
            tokens: Boolean ``(B, T)``, False at padding. Defaults to None, all count.
        """
        values = activations.float()
        values = values.abs() if self._variant == 'public' else values
        if tokens is None:
            means = values.mean(dim=1)
        else:
            weights = tokens.to(values.dtype).unsqueeze(2)
            means = (values * weights).sum(dim=1) / weights.sum(dim=1)
        self.images += len(means)
        # a comparison with NaN is False, which would pass for a neuron at rest
        self._finite = self._finite and bool(means.isfinite().all())
        if self._variant == 'public':
            self._magnitudes.append(means.cpu())
        else:
            active = (means > 0).sum(dim=0)
            self._active = active if self._active is None else self._active + active

    def rates(self) -> Tensor:
        """The share of the images that activate each neuron.

        Returns:
            Tensor: ``(F, )``, float64; NaN where an activation was not finite.

        Raises:
            ValueError: If no image was counted.
        """
        if not self.images:
            raise ValueError('Activation ratio: no image was counted; expected one at least.')
        if self._variant == 'public':
            magnitudes = torch.cat(self._magnitudes).double()
            active = (magnitudes > PUBLIC_SHARE * magnitudes.mean()).sum(dim=0)
        else:
            active = self._active.cpu()
        rates = active.double() / self.images
        return rates if self._finite else torch.full_like(rates, float('nan'))

    def summary(self) -> Dict[str, float]:
        """What :func:`summarise` says of :meth:`rates`."""
        return summarise(self.rates())


def summarise(rates: Tensor) -> Dict[str, float]:
    """The ratio of a layer, and how much of it has to do with which image is shown.

    Args:
        rates: The share of the images that activate each neuron, ``(F, )``.

    Returns:
        dict: Numbers from 0 to 1. ``ratio``: Eq. 6, the mean of the rates. ``always`` and ``never``: the share of the
        neurons that every image and no image activates. ``between_images``: of the variance of "is active" over all pairs
        of an image and a neuron, ``r (1 - r)``, the part within a neuron, the mean of ``p (1 - p)``: 0 where each neuron is
        on or off whatever the image, 1 where neurons differ by nothing but the image; NaN where no pair differs.
    """
    ratio = rates.mean()
    whole, within = ratio * (1 - ratio), (rates * (1 - rates)).mean()
    return dict(ratio=float(ratio), always=_share(rates, 1), never=_share(rates, 0),
                between_images=float(within / whole) if whole else float('nan'))


def _share(rates: Tensor, value: float) -> float:
    return float('nan') if rates.isnan().any() else float((rates == value).double().mean())


def control_images(images: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Images that keep less and less of the real ones, to see what a number owes to what is in the picture.

    Args:
        images: Real ones, of any type of numbers, ``(..., C, H, W)``.
        kind: ``'real'``, as they are; ``'pixels'``, each image's own pixels in random places; ``'noise'``, drawn from a
            normal distribution with the mean and standard deviation of each channel of the image, within the image's range;
            ``'constant'``, each image's mean colour.
        generator: Of what is drawn.

    Returns:
        Tensor: Of the same shape and type.
    """
    if kind == 'real':
        return images
    flat = images.flatten(-2).float()
    if kind == 'pixels':
        # one order for the channels of an image, so that colours stay what they are
        order = torch.rand((*flat.shape[:-2], 1, flat.shape[-1]), generator=generator).argsort(dim=-1)
        flat = flat.gather(-1, order.to(flat.device).expand_as(flat))
    elif kind == 'noise':
        drawn = torch.randn(flat.shape, generator=generator).to(flat.device)
        drawn = flat.mean(-1, keepdim=True) + flat.std(-1, keepdim=True) * drawn
        flat = torch.maximum(torch.minimum(drawn, flat.amax(-1, keepdim=True)), flat.amin(-1, keepdim=True))
    elif kind == 'constant':
        flat = flat.mean(-1, keepdim=True).expand_as(flat)
    else:
        raise ValueError(f'Images {kind!r}: expected one of {", ".join(IMAGES)}.')
    flat = flat if images.is_floating_point() else flat.round()
    return flat.reshape(images.shape).to(images.dtype)
