"""What tools/zero_shot.py is told."""
import pytest

from lbbt_mm.zero_shot import classify
from lbbt_mm.zero_shot.classify import main, one_or_list, parse_args


def test_several_names_are_names(tmp_path):
    assert one_or_list(['cat']) == ['cat'] and one_or_list(['a.txt', 'b.txt']) == ['a.txt', 'b.txt']
    assert one_or_list([]) == [] and one_or_list(None) is None


def test_one_that_names_a_file_or_a_source_is_that(tmp_path, monkeypatch):
    (tmp_path / 'names').write_text('cat')
    assert one_or_list([str(tmp_path / 'names')]) == str(tmp_path / 'names')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert one_or_list(['~/names']) == '~/names' and one_or_list([str(tmp_path)]) == [str(tmp_path)]
    assert one_or_list(['clip-benchmark:cifar10']) == 'clip-benchmark:cifar10'


def test_a_file_of_names_that_is_not_there_is_no_name(tmp_path):
    assert one_or_list([str(tmp_path / 'names.txt')]) == str(tmp_path / 'names.txt')


def test_without_options_the_run_s_config_decides():
    args = parse_args(['run', 'a.png', 'photos'])
    assert (args.run, args.images, args.topk, args.batch_size, args.device) == ('run', ['a.png', 'photos'], 3, 32, 'cpu')
    assert args.classes is args.templates is args.vision is args.text is args.cache is args.out is None
    assert args.cfg_options == []


@pytest.mark.parametrize('options, message', [
    (['--topk', '0'], '--topk'), (['--batch-size', '-1'], '--batch-size'), (['--device', 'none'], 'none: not on this'),
    (['--classes'], '--classes')])
def test_options_that_cannot_be(options, message, capsys):
    with pytest.raises(SystemExit):
        parse_args(['run', 'a.png', *options])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('options, message', [
    (['--vision', '{}/none.py,{}/none.pth'], '{}/none.py: no such file or folder; expected '),
    (['--vision', '{}/none'], '{}/none: no such file or folder'),
    (['--out', '{}/out.csv'], '--out {}/out.csv: is there already, and would be overwritten'),
    (['--out', '{}/out.csv/a.csv'], '--out {}/out.csv/a.csv: {}/out.csv is no folder that can be written to')])
def test_what_is_not_there_or_is_there_already_is_said_before_models_are_imported(options, message, tmp_path, capsys,
                                                                                 monkeypatch):
    monkeypatch.setattr(classify, 'import_module', lambda name: pytest.fail('work has begun'))
    (tmp_path / 'out.csv').write_text('mine')
    given = [str(tmp_path), 'a.png', *(option.replace('{}', str(tmp_path)) for option in options)]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert message.replace('{}', str(tmp_path)) in said and len(said.splitlines()) == 1
    assert (tmp_path / 'out.csv').read_text() == 'mine'
