"""The arguments that training and testing share, and what each has of its own."""
import pytest

from lbbt_mm.launch import test, train


@pytest.mark.parametrize('parse, more', [(train.parse_args, []), (test.parse_args, ['x.pth'])])
def test_what_training_and_testing_share(parse, more):
    args = parse(['run.py', *more, '--work-dir', 'out', '--cfg-options', 'a=1', 'b=x', '--leave-out', 'head', '--leave-out',
                  'neck', '--launcher', 'pytorch', '--local-rank', '3'])
    assert args.config == 'run.py' and args.work_dir == 'out' and args.cfg_options == dict(a=1, b='x')
    assert args.leave_out == ['head', 'neck'] and args.launcher == 'pytorch' and args.local_rank == 3
    assert not args.amp and not args.trust_checkpoint


@pytest.mark.parametrize('parse, more', [(train.parse_args, []), (test.parse_args, ['x.pth'])])
def test_an_option_that_is_none(parse, more, capsys):
    with pytest.raises(SystemExit) as end:
        parse(['run.py', *more, '--no-such-flag'])
    errors = capsys.readouterr().err
    assert end.value.code == 2 and '--no-such-flag' in errors and errors.count('\n') == 1


@pytest.mark.parametrize('parse', [train.parse_args, test.parse_args])
def test_help_is_true_of_both(parse, capsys):
    with pytest.raises(SystemExit):
        parse(['--help'])
    said = ' '.join(capsys.readouterr().out.split())
    assert 'of a training checkpoints' in said and 'of a test the folder test in it' in said
    assert 'A training also reads leave_out=[...] of its config' in said
