"""Which setting each arm gets, as far as what was collected tells; nothing is read here."""
from functools import cached_property
from typing import Dict, List, Mapping, Optional

from .collect import Outcome
from .plan import Plan, Run
from .source import Source
from .statistics import best_setting


class Choice:
    """The settings that the runs of a sweep lead to.

    Args:
        plan: The plan.
        collected: What its runs have written.
    """

    def __init__(self, plan: Plan, collected: Mapping[Run, Outcome]) -> None:
        self.plan = plan
        self.collected = collected

    @cached_property
    def selector(self) -> Optional[str]:
        """The metric that settings are chosen by; None as long as it is not named and no run has validated.

        Without a name it is the first metric of the validation of the runs themselves, never one of the training.
        """
        plan = self.plan
        if plan.selector:
            return plan.selector
        first = [plan.baseline] if plan.lr_rule == 'baseline' and len(plan.lrs) > 1 else plan.arms
        validated = (name for run, outcome in self.collected.items() if run.seed == plan.seeds[0] and run.arm in first
                     for name in outcome.stages[''].validated)
        return next(validated, None)

    @property
    def lower(self) -> bool:
        """Whether the lowest value of that metric is the best."""
        asked = self.plan.lower_is_better
        return 'loss' in (self.selector or '') if asked is None else asked

    @cached_property
    def sweep(self) -> List[Run]:
        """The runs that settings are chosen by; none where there is no choice.

        By the rule ``baseline``, those that choose a standard deviation come when the learning rate is known.
        """
        plan = self.plan
        arms = dict.fromkeys([*([plan.baseline] if plan.lr_rule == 'baseline' else []), *plan.arms])
        tried = [self.candidates(source, arm) for source in plan.sources for arm in arms]
        return [run for runs in tried if len(runs) > 1 for run in runs]

    @cached_property
    def settings(self) -> Dict[str, Run]:
        """For each arm by its label, the run that has the best setting; none as long as a run of its sweep is absent.

        Raises:
            ValueError: If the runs have no such metric, or none of them has a value to choose by.
        """
        best = {source.label(arm): self._best(source, arm) for source, arm in self.plan.starts}
        return {label: run for label, run in best.items() if run}

    def candidates(self, source: Source, arm: str) -> List[Run]:
        """The runs that an arm's setting is chosen by; none as long as its rate is that of a baseline not known yet."""
        plan, rates = self.plan, self.plan.rates
        if len(rates) > 1 and plan.lr_rule == 'baseline' and arm != plan.baseline:
            best = self._best(source, plan.baseline)
            rates = [best.lr] if best else []
        return [Run(source, arm, plan.seeds[0], lr, std) for lr in rates for std in plan.stds(arm)]

    def _best(self, source: Source, arm: str) -> Optional[Run]:
        """The run whose setting an arm has chosen, None as long as it has not."""
        candidates = self.candidates(source, arm)
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        if not all(map(self.is_over, candidates)):
            return None
        scores = {run: self._score(run) for run in candidates}
        if self.plan.lr_rule == 'per-arm' and not any(score is not None for score in scores.values()):
            scores[min(scores)] = 0.  # an arm that always diverged is shown as such
        return best_setting(scores, self.lower)

    def is_over(self, run: Run) -> bool:
        """Whether a run has come to its end, and where it finished the probe that decides too.

        One that failed is to be tried again, unless the experiment goes on without.
        """
        ends = ('finished', 'diverged', *(['failed'] if self.plan.keep_going else []))
        return self.collected[run].is_over(self.plan.deciding_stages, ends)

    def _deciding_status(self, run: Run) -> str:
        """How the stage of a run ended whose metric decides."""
        outcome = self.collected[run]
        return outcome.statuses[outcome.owner(self.selector or '')]

    def _score(self, run: Run) -> Optional[float]:
        """The value that decides; None for a run that diverged or failed."""
        if self._deciding_status(run) != 'finished':
            return None
        name, metrics = self.selector, self.collected[run].metrics
        if name not in metrics:
            what = f'metric {name}' if name else 'metric of a validation to choose the learning rate by'
            raise ValueError(f'{run} has no {what}; found {", ".join(metrics) or "none"}. '
                             f'{"Correct" if name else "Give"} --metric or --select-metric.')
        return metrics[name]

    def warnings(self) -> List[str]:
        """A sentence for each arm whose best setting lies at an end of the sweep, or that has none, and for failed runs."""
        found = []
        for source, arm in self.plan.starts:
            best, tried = self.settings.get(source.label(arm)), self.candidates(source, arm)
            if best and len(tried) > 1:
                found += self._edges(best, tried)
        failed = [str(run) for run in self.sweep if self.collected[run].status == 'failed']
        return found + ([f'The sweep is without {", ".join(failed)}, which failed.'] if failed else [])

    def _edges(self, best: Run, tried: List[Run]) -> List[str]:
        statuses = set(map(self._deciding_status, tried))
        if 'finished' not in statuses:
            return [f'Arm {best.label} {" or ".join(sorted(statuses))} at every setting of the sweep; it is shown with '
                    f'{best.setting}.']
        found = []
        for name, value, values in (('learning rate', best.lr, {run.lr for run in tried}),
                                    ('standard deviation', best.init_std, {run.init_std for run in tried})):
            end = len(values) > 1 and {max(values): 'largest', min(values): 'smallest'}.get(value)
            if end:
                found.append(f'The best {name} of arm {best.label}, {value:g}, is the {end} of the sweep: a better one may '
                             'lie beyond it.')
        return found
