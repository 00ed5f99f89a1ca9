"""Numbers that no tool can work with are refused on the command line, with exit status 2, before anything is made."""
import argparse
from pathlib import Path

import pytest

from lbbt_mm import argument_types
from tests.tool_processes import run_tool


@pytest.mark.parametrize('kind, right, wrong', (
    ('count', dict([('1', 1), ('20', 20)]), ('0', '-1', '1.5', 'a', '', 'nan', '1e3')),
    ('seed', dict([('0', 0), ('4294967295', 2**32 - 1)]), ('-1', '4294967296', '0.5', 'a')),
    ('existing_file', {__file__: Path(__file__)}, ('/nowhere.txt', '/')),
    ('permutations', dict([('19', 19), ('1000', 1000)]), ('18', '0', '-19', '19.5', 'a')),
    ('positive', dict([('1e-3', 1e-3), ('2', 2.)]), ('0', '-1e-3', 'nan', 'inf', 'a')),
    ('size_pair', dict([('25x42', (25, 42))]), ('0x4', '4x0', '4', '4x', '-4x4', '4x4x4', 'axb')),
    ('gpus', dict([('0', ['0']), ('3,5', ['3', '5']), ('', []), ('0, GPU-a', ['0', 'GPU-a'])]),
     ('0,', ',', '0,,1', '-1', '0,-1'))))
def test_a_type(kind, right, wrong):
    read = getattr(argument_types, kind)
    assert {text: read(text) for text in right} == right
    for text in wrong:
        with pytest.raises(argparse.ArgumentTypeError, match='expected|no such file'):
            read(text)


@pytest.mark.parametrize('read, right, wrong, expected', (
    (argument_types.whole_number(0, 10**6), ['0', '1000000'], ['-1', '1000001', '0.5', ''],
     'expected a whole number from 0 to 1,000,000'),
    (argument_types.number(above=0, most=1), ['1', '1e-9'], ['0', '1.01', 'nan', 'a'],
     'expected a number above 0 and up to 1'),
    (argument_types.number(above=0, below=1), ['0.99'], ['0', '1', 'inf'], 'expected a number above 0 and below 1')))
def test_numbers_between_two_ends(read, right, wrong, expected):
    assert [read(text) for text in right] == [float(text) for text in right]
    for text in wrong:
        with pytest.raises(argparse.ArgumentTypeError, match=f'^{text}: {expected}$'):
            read(text)


def test_fewer_permutations_than_p_needs_are_refused_with_the_reason():
    with pytest.raises(argparse.ArgumentTypeError, match='^18: expected a whole number, 19 or more; with fewer, p is never'):
        argument_types.permutations('18')


@pytest.mark.parametrize('names, twice', ((['a', 'b', 'b', 'a'], 'a'), (['a', 'b'], None), ([], None)))
def test_names_that_are_there_twice(names, twice, capsys):
    parser = argument_types.Parser(prog='tool')
    if twice is None:
        argument_types.refuse_repeated(parser, '--runs', names, 'LABEL=RUN')
        return
    with pytest.raises(SystemExit):
        argument_types.refuse_repeated(parser, '--runs', names, 'LABEL=RUN')
    assert f'--runs: {twice} is there twice. Give names that differ: LABEL=RUN' in capsys.readouterr().err


@pytest.mark.parametrize('arguments', (
    ['--trace'], ['--siz', '3'], ['part', '--traceb'], ['part', '--cou', '1'], ['part', '--cou=1']))
def test_options_are_written_in_full(arguments, capsys):
    """What a tool looks for in its command line, such as --traceback, is there as it stands, or is refused."""
    parser = argument_types.Parser(prog='tool')
    parser.add_argument('--size')
    parser.add_subparsers(dest='part').add_parser('part').add_argument('--count')
    assert parser.parse_args(['--size', '2', 'part', '--count', '1']).count == '1'
    with pytest.raises(SystemExit):
        parser.parse_args(arguments)
    assert 'tool' in capsys.readouterr().err


@pytest.mark.parametrize('tool, options', (
    ('demo', ('--epochs', '--iterations', '--canvases')),
    ('lbbt.py a.py', ('--gpus', '--gpus-per-training')),
    ('compare_arms.py a.py', ('--jobs', '--gpus-per-training', '--lrs', '--stds')),
    ('benchmarks/detr_layers.py', ('--layers', '--width', '--batch', '--queries', '--repeats', '--threads')),
    ('benchmarks/segmenter_head.py', ('--layers', '--width', '--classes', '--batch', '--crop', '--stride', '--repeats')),
    ('benchmarks/llm_backbone.py --rows gpt2-train', ('--layers', '--image', '--batch', '--repeats', '--threads')),
    ('benchmarks/partial_training.py', ('--layers', '--width', '--batch', '--image', '--repeats', '--threads')),
    ('benchmarks/config_steps.py a.py', ('--repeats', '--threads')),
    ('benchmarks/cpu_attention.py', ('--heads', '--head-dims', '--repeats', '--threads')),
    ('benchmarks/checkpoint_reading.py', ('--size', ))))
def test_no_tool_takes_a_number_below_one(tool, options, tmp_path):
    tool, *arguments = tool.split()
    for option in options:
        for value in ('0', '-2'):
            done = run_tool(tool, *arguments, f'{option}={value}', cwd=tmp_path)
            assert done.returncode == 2 and 'expected' in done.output and option in done.output, (option, done.output)
            assert 'Traceback' not in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('arguments, said', (
    (('compare_arms.py', 'a.py', '--seeds', 0, -1), 'argument --seeds: -1: expected a whole number from 0 to 4,294,967,295'),
    (('compare_arms.py', 'a.py', '--gpus', '0,,1'), 'argument --gpus: 0,,1: expected GPUs with commas between'),
    (('benchmarks/checkpoint_reading.py', '--blocks', 3, 32), '--blocks 3 32: expected two from 0 to 31'),
    (('benchmarks/detr_layers.py', '--tokens', '0x4'), 'argument --tokens: 0x4: expected HEIGHTxWIDTH')))
def test_other_numbers_that_cannot_be(arguments, said, tmp_path):
    done = run_tool(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and said in done.output and list(tmp_path.iterdir()) == []
