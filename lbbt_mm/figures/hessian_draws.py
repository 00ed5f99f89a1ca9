"""The draws that a Hessian's numbers are made of, at a point of a run: each is made once, and kept."""
import argparse
import math
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import torch
from curvlinops import hutchinson_trace
from torch import Tensor

from lbbt_mm.analysis.hessian_operator import HessianOperator
from lbbt_mm.analysis.lanczos import Quadrature, lanczos
from lbbt_mm.analysis.sensitivity import gradient_predictiveness, noise_curve, parameter_sensitivity
from lbbt_mm.random_state import derive_seed, random_state_kept
from .features import part_name
from .losses import FixedLoss, load_batches, refuse_diverged
from .parts import Parts
from .progress import track
from .trained import OpenedRun

#: What all draws depend on beside the run, and what those of a kind do too: options of the command line.
_SETTINGS = ('split', 'max_samples', 'batch_size', 'device', 'seed')
_SETTINGS_OF = dict(gradient='along', lanczos='steps', noise='noise')


class Draw(NamedTuple):
    """One piece of work.

    Attributes:
        run: Of which run.
        at: ``start`` or ``end``.
        kind: ``gradient``, ``trace``, ``lanczos`` or ``noise``.
        number: Which one of its kind.
    """
    run: OpenedRun
    at: str
    kind: str
    number: int


class Point:
    """A run's loss at its start or its end, as a function of its parameters.

    Args:
        run: The run.
        at: ``start`` or ``end``.
        args: The command line.
        progress: Is asked for its next item before each product with the Hessian.

    Raises:
        ValueError: If the run has diverged, or its loss, or that of a batch, depends on no trainable parameter.
    """

    def __init__(self, run: OpenedRun, at: str, args: argparse.Namespace, progress: Iterator[int]) -> None:
        model = (run.at_start if at == 'start' else run.at_end)(args.device)
        refuse_diverged(run.name, model)
        batches = load_batches(run, model, args.split, args.max_samples, args.batch_size)
        self.args, self._progress, self.loss = args, progress, FixedLoss(model, batches, twice=True)
        self._label = f'{run.name}, {at} of training'
        try:
            self.parameters = self.loss.used_parameters()
        except ValueError as error:
            raise ValueError(f'{self._label}: {error}') from None
        self.operator = HessianOperator(self._terms, tuple(self.parameters.values()))

    def _terms(self) -> Iterator[Tensor]:
        next(self._progress, None)
        yield from self.loss.terms()

    def make(self, kind: str, number: int) -> Any:
        """Make a draw; the same number draws the same vector at every point with as many parameters.

        Raises:
            ValueError: If the loss or a product is not finite, or a layer has a first derivative only.
        """
        seed = derive_seed(f'hessian {self.args.seed} {kind} {number}', bits=32)
        with random_state_kept():
            torch.manual_seed(seed)
            try:
                return getattr(self, kind)(torch.Generator().manual_seed(seed))
            except ValueError as error:
                raise ValueError(f'{self._label}: {error}') from None

    def trace(self, generator: torch.Generator) -> float:
        """An unbiased estimate of the trace."""
        return float(hutchinson_trace(self.operator, 1))

    def lanczos(self, generator: torch.Generator) -> Dict[str, List[float]]:
        """A quadrature of the spectral density."""
        start = torch.randn(self.operator.shape[0], generator=generator)
        found = lanczos(self.operator, start.to(self.operator.device, self.operator.dtype), self.args.steps)
        return {name: values.tolist() for name, values in found._asdict().items()}

    def noise(self, generator: torch.Generator) -> List[float]:
        """What noise of each size adds to the loss."""
        return noise_curve(self.loss, self.parameters, self.args.noise, generator)

    def gradient(self, generator: torch.Generator) -> Dict[str, Any]:
        """The loss, and what its gradient says; nothing is drawn.

        Raises:
            ValueError: If the loss is not finite.
        """
        loss = self.loss()
        if not math.isfinite(loss):
            raise ValueError(f'its loss is {loss}; expected a number. Leave the run out, or give an earlier checkpoint.')
        differentiate = partial(self.loss.gradient, self.parameters)
        change, cosine = gradient_predictiveness(differentiate, self.parameters, self.args.along)
        return dict(loss=loss, parameters=self.operator.shape[0], change=change, cosine=cosine,
                    sensitivity=parameter_sensitivity(differentiate()))


def make_draws(runs: Sequence[OpenedRun], args: argparse.Namespace,
               say: Callable[[str], None]) -> Iterator[Tuple[OpenedRun, str, Dict[str, List[Any]]]]:
    """Make all draws, or read those that were made.

    Args:
        runs: The runs.
        args: The command line.
        say: Takes a line about the work that is to be done.

    Yields:
        tuple: A run, ``start`` or ``end``, and its draws by kind; of ``lanczos``, as :class:`Quadrature`.
    """
    parts = Parts(args.out / 'hessian.parts.json', {name: getattr(args, name) for name in _SETTINGS})
    numbers = dict(gradient=1, trace=args.trace_draws, lanczos=args.draws, noise=args.noise_draws)
    work = [Draw(run, at, kind, number) for run in runs for at in dict.fromkeys(args.at)
            for kind, many in numbers.items() for number in range(many)]
    names = [part_name(draw.run, *draw[1:], getattr(args, _SETTINGS_OF.get(draw.kind, 'split')), start=draw.at == 'start')
             for draw in work]
    missing = [draw.kind for draw, name in zip(work, names) if name not in parts]
    products = missing.count('trace') + missing.count('lanczos') * args.steps
    say(f'{products} Hessian-vector products on {args.max_samples} images (about 4 gradients each), and '
        f'{2 * len(args.noise) * missing.count("noise")} losses; {len(work) - len(missing)} of {len(work)} draws are there.')
    for run, at in list(dict.fromkeys(draw[:2] for draw, name in zip(work, names) if name not in parts))[1:]:
        Point(run, at, args, iter(()))  # is refused before work begins; the first is made next
    found: Dict[Tuple[int, str], Dict[str, List[Any]]] = {}
    where, point, progress = None, None, track(range(products), 'products with the Hessian')
    for draw, name in zip(work, names):
        if where != draw[:2] and name not in parts:
            where, point = draw[:2], None  # one model at a time
            point = Point(draw.run, draw.at, args, progress)
        made = parts.get(name, partial(Point.make, point, draw.kind, draw.number))
        found.setdefault((id(draw.run), draw.at), {}).setdefault(draw.kind, []).append(made)
    progress.close()
    for run in runs:
        for at in dict.fromkeys(args.at):
            draws = found[id(run), at]
            yield run, at, dict(draws, lanczos=[
                Quadrature(*(torch.tensor(values, dtype=torch.float64) for values in draw.values()))
                for draw in draws['lanczos']])
