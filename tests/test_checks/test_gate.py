"""The gate runs every check once, goes on with what a run can go on with, and stops at what it cannot."""
import gc

import pytest
from mmengine.config import Config

from lbbt_mm.checks import gate
from lbbt_mm.checks.problems import Problem


@pytest.fixture
def checks(monkeypatch):
    """Has the gate run checks that find what it is told, and counts them."""
    ran = []

    def make(*found):
        def check(cfg, loaders, budget):
            ran.append((loaders, gc.isenabled()))
            for problem in found:
                if isinstance(problem, Exception):
                    raise problem
                yield problem
        return check

    def install(*groups):
        monkeypatch.setattr(gate, 'CHECKS', tuple(make(*group) for group in groups))
        return ran

    return install


def test_all_checks_run_once_without_collections_of_garbage(checks):
    ran = checks([], [Problem('val_dataloader', 'a box is odd', False)], [])
    gate.check_datasets(Config(), ('val_dataloader', ))
    assert ran == 3 * [(('val_dataloader', ), False)] and gc.isenabled()


def test_the_first_that_is_fatal_is_raised(checks):
    ran = checks([Problem('a', 'goes on', False), Problem('b', 'stops', True)], [])
    with pytest.raises(ValueError, match='^b: stops$'):
        gate.check_datasets(Config())
    assert len(ran) == 1 and gc.isenabled()


def test_a_report_has_what_all_find_and_what_ends_one(checks):
    checks([Problem('a', 'odd', False)], [FileNotFoundError('no such folder')], [Problem('b', 'worse')])
    assert [(problem.where, problem.text, problem.fatal) for problem in gate.find_problems(Config())] == [
        ('a', 'odd', False), ('', 'no such folder', True), ('b', 'worse', True)]
