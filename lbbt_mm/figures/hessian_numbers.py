"""Table 15 and the spectral density from draws: numbers, table and picture."""
import argparse
import math
import sys
from collections import Counter
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple

import pandas as pd
from torch import Tensor

from lbbt_mm.analysis import hessian
from lbbt_mm.analysis.lanczos import Quadrature, estimate
from lbbt_mm.analysis.sensitivity import noise_area
from .canvas import Canvas, COLORS
from .hessian_draws import make_draws
from .numbers import of_all, print_numbers, write_numbers
from .run_names import one_of
from .trained import open_runs

#: Points of the density's curve.
_POINTS = 1024
#: Why a spectrum has no density and no shape, as that of a loss that is linear, whose Hessian is 0
_ALL_THE_SAME = 'all eigenvalues that were found are the same'
#: Papyan's kappa: how much lower a normal curve is in the middle between two values than at one, were they evenly spaced.
_NARROWING = 3.


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    opened = open_runs(args)
    rows, curves = [], []
    for opened_run, at, draws in make_draws(opened, args, lambda line: print(line, file=sys.stderr)):
        shared = dict(label=opened_run.label, checkpoint=str(opened_run.checkpoint), at=at)
        rows += [dict(shared, **row) for row in numbers(draws, args)]
        curves.append((opened_run.label, at, draws['gradient'][0]['parameters'], density(draws['lanczos'])))
    frame = pd.DataFrame(rows)
    write_numbers(frame, args.out, 'hessian')
    densities = [curve.assign(label=label, at=at) for label, at, _, curve in curves]
    write_numbers(pd.concat([curve for curve in densities if len(curve)] or densities), args.out, 'hessian-density')
    draw(curves).save(args.out, 'hessian')
    for at in dict.fromkeys(args.at):
        print_numbers(summarise(frame[frame['at'] == at]), f'The Hessian of the loss at the {at} of training, '
                      f'{args.max_samples} images of {args.split}', ['measure', 'of'])
    names = {(opened_run.label, str(opened_run.checkpoint)): opened_run.name for opened_run in opened}
    keys = ['label', 'checkpoint', 'at', 'of', 'note']
    for (label, checkpoint, at, of, note), _ in frame[frame.note != ''].groupby(keys, sort=False):
        where = f'{names[label, checkpoint]}, {at} of training' + (f', {of}' if of else '')
        print(f'{where}: no number; {note}.', file=sys.stderr)


def numbers(draws: Dict[str, List[Any]], args: argparse.Namespace) -> List[Dict[str, Any]]:
    """All measures at a point.

    Args:
        draws: As :func:`lbbt_mm.figures.hessian_draws.make_draws` gives them.
        args: The command line.

    Returns:
        list[dict]: ``measure``, ``of`` (which eigenvalues), ``value``, ``standard_error``, ``where``, ``note`` (why there is
        no value).
    """
    spectra, gradient = draws['lanczos'], draws['gradient'][0]
    zero = args.zero * max(float(spectrum.values.abs().max()) for spectrum in spectra)
    most = max(gradient['sensitivity'], key=gradient['sensitivity'].get)
    measures = {
        'kurtosis of eigenvalues': hessian.kurtosis,
        'participation ratio': hessian.participation_ratio,
        'negative eigenvalue ratio': partial(hessian.negative_ratio, zero=zero),
        'negative share of curvature': hessian.negative_energy,
    }
    some, leading = partial(_of_some, spectra, args), f'leading {args.leading}'
    flat = _ALL_THE_SAME if _ends(spectra) is None else ''
    rows = [
        _row('loss', '', (gradient['loss'], float('nan'))),
        some('eigenvalue decay rate', f'largest {args.leading} above 0', partial(hessian.largest, above=0), args.leading,
             partial(hessian.decay_rate, number=args.leading)),
        _row('trace of the Hessian', 'all', hessian.mean_and_error(draws['trace'])),
        some('spectral gap', 'largest 2', hessian.largest, 2, hessian.spectral_gap),
        _row('largest eigenvalue', '', _over(spectra, lambda found: float(found.values.max()))),
        _row('smallest eigenvalue', '', _over(spectra, lambda found: float(found.values.min())))]
    for name, measure in measures.items():
        rows += [_row(name, 'all', estimate(spectra, measure), note=flat),
                 some(name, leading, hessian.leading, args.leading, partial(_alike, measure))]
    return rows + [
        _row('distance to an eigenvalue, at most', leading, _over(spectra, partial(_residual, args.leading))),
        _row('noise sensitivity AUC', '', hessian.mean_and_error([noise_area(args.noise, made) for made in draws['noise']])),
        _row('gradient predictiveness: change', '', (gradient['change'], float('nan')), note='the gradient is 0'),
        _row('gradient predictiveness: cosine', '', (gradient['cosine'], float('nan')), note='a gradient is 0'),
        _row('maximum parameter sensitivity', '', (gradient['sensitivity'][most], float('nan')), most)]


def _row(measure: str, of: str, value: Tuple[float, float], where: str = '', note: str = '') -> Dict[str, Any]:
    """A measure's row; ``note`` says why there is no value, where there is none."""
    note = note if math.isnan(value[0]) else ''
    return dict(measure=measure, of=of, value=value[0], standard_error=value[1], where=where, note=note)


def _of_some(spectra: List[Quadrature], args: argparse.Namespace, name: str, of: str,
             choose: Callable[[Tensor, int], Tensor], number: int, measure: Callable[[Tensor], float]) -> Dict[str, Any]:
    """A measure of some eigenvalues; a gap and its reason where a draw has not found all of them, or one not well enough."""
    values, share = [], args.converged
    for found in spectra:
        places = choose(found.values, number)
        chosen, distance = found.values[places], found.residuals[places]
        if len(places) < number:
            remedy = 'take more --steps' if len(found.values) >= args.steps else 'there are no more different ones'
            return _row(name, of, (math.nan, math.nan), note=f'{len(places)} found; {remedy}')
        worst = float((distance / chosen.abs()).max())
        if not worst <= share:
            known = f'{worst:.0%}' if worst < 1 else '100% or more'
            return _row(name, of, (math.nan, math.nan), note=f'one is known to within {known} of its magnitude only, and '
                        f'--converged is {share:.0%}; take more --steps')
        values.append(measure(chosen))
    return _row(name, of, hessian.mean_and_error(values))


def _over(spectra: List[Quadrature], measure: Any) -> Tuple[float, float]:
    """A measure that each draw gives by itself: where its eigenvalues have converged, all give the same."""
    return hessian.mean_and_error([measure(found) for found in spectra])


def _alike(measure: Callable[[Tensor, Tensor], float], values: Tensor) -> float:
    return measure(values, hessian.alike(values))


def _residual(number: int, found: Quadrature) -> float:
    residuals = found.residuals[hessian.leading(found.values, number)]
    return float(residuals.max()) if len(residuals) == number else math.nan


def density(spectra: List[Quadrature]) -> pd.DataFrame:
    """The spectral density, each value widened to a normal curve as in Papyan (2020, section D.2).

    Args:
        spectra: The draws.

    Returns:
        DataFrame: ``eigenvalue`` and ``density``, of integral 1; empty where all eigenvalues are the same.
    """
    from curvlinops.papyan2020traces.spectrum import lanczos_approximate_spectrum_from_iter
    ends = _ends(spectra)
    if ends is None:
        return pd.DataFrame(dict(eigenvalue=[], density=[]), dtype=float)
    deviation = 1 / (min(len(found.values) for found in spectra) - 1) / math.sqrt(8 * math.log(_NARROWING))  # of the range
    margin = 3.5 * deviation / max(0.1, 1 - 7 * deviation)  # else the widened outer ones are cut off
    curves = [lanczos_approximate_spectrum_from_iter((found.values, found.weights.sqrt()[None]), ends, _POINTS, _NARROWING,
                                                     margin) for found in spectra]
    mean = sum(curve for _, curve in curves) / len(curves)
    return pd.DataFrame(dict(eigenvalue=curves[0][0].numpy(), density=mean.numpy()))


def _ends(spectra: List[Quadrature]) -> Optional[Tuple[float, float]]:
    """The lowest and the highest value; None where they are the same, as the eigenvalues of a Hessian that is 0."""
    ends = (min(float(found.values.min()) for found in spectra), max(float(found.values.max()) for found in spectra))
    return None if ends[0] == ends[1] else ends


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """A column for each label: the value and its standard error; of several runs, mean and standard deviation.

    Args:
        frame: Rows of one stage.
    """
    table = {}
    for label, rows in frame.groupby('label', sort=False):
        groups = rows.groupby(['measure', 'of'], sort=False)
        several = rows.checkpoint.nunique() > 1
        mean, deviation = (of_all(groups.value, measure) for measure in ('mean', 'std'))
        table[label] = [_shown(value, error) for value, error in zip(
            mean, deviation if several else groups.standard_error.mean())]
    index = frame[['measure', 'of']].drop_duplicates()
    return pd.DataFrame({'measure': index.measure, 'of': index.of, **table})


def _shown(value: float, error: float) -> str:
    if value != value:
        return '-'
    return f'{value:.4g}' + (f' ± {error:.2g}' if error == error else '')


def draw(curves: List[Tuple[str, str, int, pd.DataFrame]]) -> Canvas:
    """The spectral density of each run, at its start and end; of several runs of one label, the first.

    Args:
        curves: Label, stage, number of parameters and density, which is empty where there is none.
    """
    labels, stages = (list(dict.fromkeys(curve[index] for curve in curves)) for index in (0, 1))
    canvas = Canvas(len(labels), len(stages), height=1.5, sharey=True)
    runs = Counter((label, at) for label, at, _, _ in curves)
    first = {(label, at): (parameters, curve) for label, at, parameters, curve in reversed(curves)}
    for (label, at), (_, curve) in first.items():
        axes = canvas.axes[labels.index(label)][stages.index(at)]
        axes.set_title(f'{label}, {at} of training' + one_of(runs[label, at]))
        if curve.empty:
            axes.text(0.5, 0.5, f'no density:\n{_ALL_THE_SAME}', ha='center', va='center', transform=axes.transAxes,
                      fontsize=6)
            continue
        axes.semilogy(curve.eigenvalue, curve.density, color=COLORS[0])
        axes.axvline(0, color='0.4', linewidth=0.6)
    there = [(parameters, curve) for parameters, curve in first.values() if not curve.empty]
    if there:
        # one eigenvalue, spread over all of the range; what lies below is the tail of a normal curve
        lowest = min(1 / parameters / (curve.eigenvalue.max() - curve.eigenvalue.min()) for parameters, curve in there)
        canvas.axes[0][0].set_ylim(lowest, 3 * max(curve.density.max() for _, curve in there))
    for axes in canvas.axes[:, 0]:
        axes.set_ylabel('density')
    for axes in canvas.axes[-1]:
        axes.set_xlabel('eigenvalue of the Hessian')
    return canvas
