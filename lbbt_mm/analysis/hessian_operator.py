"""A loss's Hessian as an operator: its products with vectors, never the matrix."""
from typing import Callable, Iterable, Sequence, Tuple

import torch
from torch import Tensor


class HessianOperator:
    """The Hessian of a loss, by differentiating the gradient's product with a vector (Pearlmutter, 1994).

    It stands where curvlinops takes an operator. curvlinops' own ``HessianLinearOperator`` takes forward derivatives of
    ``torch.func.jacrev``. In torch 2.9 these are wrong, in silence, at LayerNorm's weights, and not there for SiLU (of gated
    networks) or where a loss leaves torch (the matching of DETR). For other networks the two are equal.

    Args:
        terms: Gives the terms of the loss anew, for example one for each batch; each is a scalar with a gradient that has
            a gradient.
        parameters: What it is differentiated by, all of one type and on one device; a term need not depend on each.
    """

    def __init__(self, terms: Callable[[], Iterable[Tensor]], parameters: Sequence[Tensor]) -> None:
        self._terms, self._parameters = terms, tuple(parameters)
        self._sizes = [parameter.numel() for parameter in self._parameters]
        #: Rows and columns.
        self.shape: Tuple[int, int] = (sum(self._sizes), ) * 2
        self.dtype: torch.dtype = self._parameters[0].dtype
        self.device: torch.device = self._parameters[0].device
        self._looked = False

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """The Hessian's product with a vector ``(P, )`` or the columns of ``(P, K)``.

        Raises:
            ValueError: If a layer has a first derivative only, as many of mmcv's operators: torch would take its second one
                for 0 and say nothing.
        """
        columns = vectors.reshape(self.shape[0], -1).T
        result = torch.zeros_like(columns)
        with torch.enable_grad():
            for term in self._terms():
                gradient = torch.autograd.grad(term, self._parameters, create_graph=True, materialize_grads=True)
                curved = [index for index, part in enumerate(gradient) if part.requires_grad]
                if not curved:  # a linear term
                    continue
                if not self._looked and _has_first_derivative_only([gradient[index] for index in curved]):
                    raise ValueError('a layer of it has a first derivative only, as many operators of mmcv, and the Hessian '
                                     'is made of second ones; expected layers of torch. Leave it out.')
                for number, column in enumerate(columns):
                    along = self._split(column)
                    products = torch.autograd.grad([gradient[index] for index in curved], self._parameters,
                                                   [along[index] for index in curved], allow_unused=True,
                                                   materialize_grads=True, retain_graph=number + 1 < len(columns))
                    result[number] += torch.cat([product.flatten() for product in products])
        self._looked = True
        return result.T.reshape(vectors.shape)

    def _split(self, vector: Tensor) -> Sequence[Tensor]:
        return [part.view_as(parameter) for part, parameter in zip(vector.split(self._sizes), self._parameters)]


def _has_first_derivative_only(gradient: Sequence[Tensor]) -> bool:
    """Whether a gradient's graph has a node that torch puts behind a ``once_differentiable`` function."""
    waiting, seen = [part.grad_fn for part in gradient], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() == 'torch::autograd::Error':
            return True
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False
