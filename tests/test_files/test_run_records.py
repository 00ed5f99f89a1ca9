"""What a run wrote down: scalars over its resumptions, final metrics, and whether it diverged."""
import json
from pathlib import Path

import pytest

from lbbt_mm.files.run_records import (comparable_loss, curve, failed_of_nan, final_metrics, in_validation, loss_is_finite,
                                       read_records, validation_is_finite)

NAN = float('nan')


def write_scalars(folder: Path, *records: dict, end: str = '\n') -> None:
    """What mmengine's logger leaves of one attempt."""
    path = folder / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(json.dumps(record) for record in records) + end)


class TestReading:

    def test_of_a_step_that_was_done_twice_the_later_record_counts(self, tmp_path):
        write_scalars(tmp_path / '20240101_000000', dict(iter=10, step=10, loss=3.), dict(iter=20, step=20, loss=2.),
                      {'step': 1, 'acc': 5., 'time': 1.}, end='\n{"iter": 30, "st')
        write_scalars(tmp_path / '20240101_000500', dict(iter=20, step=20, loss=1.5), dict(iter=30, step=30, loss=1.),
                      {'step': 1, 'acc': 6., 'time': 1.})
        records = read_records(tmp_path)
        assert [(record['step'], record['loss']) for record in records['train']] == [(10, 3.), (20, 1.5), (30, 1.)]
        assert final_metrics(records) == dict(acc=6., loss=1.)

    def test_the_validation_s_value_wins_a_name_that_both_have(self, tmp_path):
        write_scalars(tmp_path / '1', dict(iter=1, step=1, loss=3., lr=1, grad_norm=7.), {'step': 1, 'loss': 4.})
        assert final_metrics(read_records(tmp_path)) == dict(loss=4., grad_norm=7.)

    def test_a_folder_without_a_run(self, tmp_path):
        assert final_metrics(read_records(tmp_path)) == {} and loss_is_finite(read_records(tmp_path))

    def test_of_auxiliary_training_the_main_path_s_loss_is_the_one_to_compare(self, tmp_path):
        write_scalars(tmp_path / 'aux' / '1', dict(iter=1, step=1, loss=3., main_unweighted=4.))
        write_scalars(tmp_path / 'plain' / '1', dict(iter=1, step=1, loss=3.))
        found = {name: comparable_loss(read_records(tmp_path / name)) for name in ('aux', 'plain', 'none')}
        assert found == dict(aux='main_unweighted', plain='loss', none='loss')

    def test_a_curve_is_of_the_validations_if_they_have_the_metric(self, tmp_path):
        write_scalars(tmp_path / '1', dict(iter=10, step=10, loss=3., acc=1.), dict(iter=20, step=20, loss=2., acc=2.),
                      dict(step=1, acc=50.), dict(step=2, acc=60.))
        records = read_records(tmp_path)
        assert curve(records, 'acc') == [(1, 50.), (2, 60.)] and in_validation(records, 'acc')
        assert curve(records, 'loss') == [(10, 3.), (20, 2.)] and not in_validation(records, 'loss')
        assert curve(records, 'mAP') == []


class TestDivergence:

    def test_a_loss_that_recovered_has_not_diverged(self, tmp_path):
        """Mixed precision skips such a step."""
        write_scalars(tmp_path / '0', dict(iter=1, step=1, loss=float('inf')), dict(iter=2, step=2, loss=1.))
        assert loss_is_finite(read_records(tmp_path))
        write_scalars(tmp_path / '0', dict(iter=1, step=1, loss=1.), dict(iter=2, step=2, loss=NAN))
        assert not loss_is_finite(read_records(tmp_path))

    def test_a_metric_that_recovered_or_that_is_of_a_class_without_a_box_has_not(self, tmp_path):
        write_scalars(tmp_path / '0', {'step': 1, 'mAP': NAN}, {'step': 2, 'mAP': 0.1, 'coco/cat_precision': NAN})
        assert validation_is_finite(read_records(tmp_path))
        write_scalars(tmp_path / '0', {'step': 1, 'mAP': 0.1}, {'step': 2, 'mAP': NAN})
        assert not validation_is_finite(read_records(tmp_path))

    @pytest.mark.parametrize('line', (
        'AssertionError: loss become infinite or NaN!', 'ValueError: matrix contains invalid numeric entries',
        "[rank1]: RuntimeError: Function 'MulBackward0' returned nan values in its 0th output."))
    def test_errors_that_say_so(self, line):
        assert failed_of_nan(f'Traceback\n{line}\nafter')

    @pytest.mark.parametrize('line', ('FileNotFoundError: /data/nan/1.png', 'loss: nan', 'ValueError: num_classes'))
    def test_and_lines_that_do_not(self, line):
        assert not failed_of_nan(f'Traceback\n{line}\nafter')
