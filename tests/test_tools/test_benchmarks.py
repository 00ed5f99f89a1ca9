"""The benchmarks run at tiny size and print what they say they print; nothing here asserts a time."""
import importlib.util
import json
import re
import sys

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.closeness import assert_close
from tests.tool_processes import REPO, run_tool

timm = pytest.mark.skipif(importlib.util.find_spec('timm') is None, reason='requirements/bench.txt is not installed')
linux = pytest.mark.skipif(sys.platform != 'linux', reason='counts with /proc')
TINY = ('--layers', 1, '--width', 64, '--tokens', '2x4', '--queries', 3, '--repeats', 2, '--threads', 1)


@pytest.fixture
def benchmarks(monkeypatch):
    """Let a test import the benchmarks' modules, as the scripts themselves do."""
    monkeypatch.syspath_prepend(str(REPO / 'tools' / 'benchmarks'))
    yield
    for name in ('benchmark_report', 'detr_contenders', 'interleaved_rounds', 'llm_backbone', 'llm_backbone_contenders',
                 'matrix_floor', 'segmenter_contenders', 'segmenter_head', 'synthetic_checkpoint'):
        sys.modules.pop(name, None)


def tables(output):
    """Rows of the Markdown tables in a text, as dicts."""
    lines = [[cell.strip() for cell in line.strip('| \n').split('|')] for line in output.splitlines()
             if line.startswith('| ')]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def small_size(**changes):
    from matrix_floor import TransformerSize
    return TransformerSize(**{**dict(width=128, num_heads=2, ffn_dims=512, num_layers=2, batch=2, height=3, columns=5,
                                     queries=4), **changes})


# ---------------------------------------------------------------------------------------------- DETR layers
def test_detr_layers_compares_every_row(tmp_path):
    done = run_tool('benchmarks/detr_layers.py', *TINY, '--out', tmp_path)
    assert done.returncode == 0, done.output
    rows = tables(done.output)
    assert rows == tables((tmp_path / 'detr_layers.md').read_text())
    data = json.loads((tmp_path / 'detr_layers.json').read_text())
    assert len(rows) == len(data['comparisons'])
    for row, comparison in zip(rows, data['comparisons']):
        assert float(row['times as fast']) == pytest.approx(comparison['ratio'], abs=0.006)
        assert comparison['smallest'] <= comparison['ratio'] <= comparison['largest']
        assert comparison['our_seconds'] > 0 and comparison['floor_seconds'] > 0
    assert {row['row'] for row in rows} == {
        'training fp32, attn drop 0', 'training fp32, attn drop 0.1', 'inference fp32', 'training bf16, attn drop 0',
        'training bf16, attn drop 0.1', 'inference bf16', 'our shipped config against the stock one, training fp32'
    }
    first = [row for row in rows if row['row'] == 'training fp32, attn drop 0']
    assert [(row['ours'], row['against'], row['wanted'].split(' ')[0]) for row in first] == [
        ('pre-norm', 'mmdet', '1.15'), ('post-norm', 'mmdet', '1.15'), ('pre-norm, padded', 'mmdet', '1.00'),
        ('pre-norm, padded', 'mmdet, padded', '')]
    assert float(data['facts']['largest difference of the outputs, post-norm']) < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ['detr_layers.json', 'detr_layers.md']


def test_detr_layers_measures_the_rows_asked_for(tmp_path):
    done = run_tool('benchmarks/detr_layers.py', *TINY, '--rows', 'infer-bf16', '--clock', 'cpu', '--out', tmp_path)
    assert done.returncode == 0, done.output
    assert {row['row'] for row in tables(done.output)} == {'inference bf16'}


@pytest.mark.parametrize('tool, options', [('detr_layers', ()),
                                           ('segmenter_head', (('--stride', 513, 'stride <= crop'),
                                                               ('--image', '500x1024', 'crop <= both sides')))])
def test_sizes_that_cannot_be_are_refused(tool, options):
    for option, value, said in (('--tokens', '1050', 'HEIGHTxWIDTH'), ('--width', '100', 'multiple of 64'), *options):
        done = run_tool(f'benchmarks/{tool}.py', option, value)
        assert done.returncode == 2 and said in done.output


def test_both_sides_compute_the_same_function(benchmarks):
    from detr_contenders import Inputs, LanguageTransformer, StockTransformer, equal_dropout_cfgs
    size = small_size()
    inputs = Inputs(size)
    stock = StockTransformer(size, equal_dropout_cfgs(size, 0., 0.))
    ours = LanguageTransformer(size, norm='post').copy_from(stock)
    for padded in (False, True):
        assert_close(inputs.run(ours, padded), inputs.run(stock, padded), depth=4, terms=512)
    assert inputs.padding.sum() == 2 * 3  # 30 per cent of 5 columns, in one image of 3 rows


def test_both_sides_drop_in_the_same_places(benchmarks):
    from detr_contenders import Inputs, LanguageTransformer, StockTransformer, equal_dropout_cfgs, stock_config_cfgs
    size, options = small_size(), dict(attn_drop=0.2, proj_drop=0.1)
    applied, weights = {}, {}
    # the stock config first: building it changes a default argument of mmcv, which must not reach the other one
    for name, model in (('config', StockTransformer(size, stock_config_cfgs(size))),
                        ('stock', StockTransformer(size, equal_dropout_cfgs(size, **options))),
                        ('ours', LanguageTransformer(size, **options))):
        counts = applied[name] = []
        for module in model.modules():
            if isinstance(module, nn.Dropout) and module.p:
                module.register_forward_hook(lambda module, args, out, counts=counts: counts.append(
                    (module.p, tuple(out.shape))))
        Inputs(size).run(model.train(), padded=False)
        weights[name] = [getattr(module, 'attn_drop', None) or module.dropout for module in model.modules()
                         if isinstance(module, nn.MultiheadAttention) or hasattr(module, 'attn_drop')]
    assert applied['ours'] and weights['ours'] == weights['stock'] == 6 * [0.2] and weights['config'] == 6 * [0.1]
    for name in applied:  # mmcv drops attention's output before it puts the batch first again
        applied[name] = sorted((rate, *sorted(shape)) for rate, shape in applied[name])
    assert applied['ours'] == applied['stock'] == applied['config']


@pytest.mark.parametrize('training', [False, True])
def test_floor_counts_the_products_that_the_layers_do(benchmarks, training):
    from detr_contenders import Inputs, StockTransformer, equal_dropout_cfgs
    from matrix_floor import count_products, giga_flops
    size = small_size(num_layers=3)
    stock, inputs = StockTransformer(size, equal_dropout_cfgs(size, 0., 0.)).train(training), Inputs(size)
    for tensor in (inputs.feat, inputs.embedding, *stock.parameters()):
        tensor.requires_grad_(training)
    with FlopCounterMode(display=False) as counter:
        states = inputs.run(stock, padded=False)
        if training:
            states.sum().backward()
    # training may leave out a gradient that no one asked for: the first decoder layer's queries are constant zeros
    assert 1e-9 * counter.get_total_flops() == pytest.approx(giga_flops(count_products(size, training)),
                                                             rel=0.01 if training else 1e-9)


# --------------------------------------------------------------------------------------------- LLMBackbone
@pytest.mark.parametrize('family', [pytest.param('vit', marks=timm), 'gpt2', 'smollm2'])
def test_llm_backbone_compares_equal_functions(family, tmp_path):
    done = run_tool('benchmarks/llm_backbone.py', '--layers', 1, '--image', 32, '--batch', 2, 1, '--repeats', 2,
                    '--threads', 1, '--clock', 'cpu', '--rows', f'{family}-train', f'{family}-infer-bf16', '--out', tmp_path)
    assert done.returncode == 0, done.output
    rows, data = tables(done.output), json.loads((tmp_path / 'llm_backbone.json').read_text())
    against, ours, wanted = {'vit': ('timm', ['exact GELU', "GPT-2's GELU"], '1.00'),
                             'gpt2': ('GPT2Model', ['causal'], '1.10'),
                             'smollm2': ('LlamaModel', ['causal'], '1.00')}[family]
    assert [(row['ours'], row['against']) for row in rows] == 4 * [(name, against) for name in ours]
    assert [row['wanted'].split(' ')[0] for row in rows] == 2 * len(ours) * [wanted] + 2 * len(ours) * ['']
    assert [row['row'].rsplit(', ')[-1] for row in rows] == 2 * (len(ours) * ['batch 2'] + len(ours) * ['batch 1'])
    work = {(row['row'], row['ours']): row['giga_flops'] for row in data['comparisons']}
    assert all(flops == pytest.approx(2 * work[row.replace('batch 2', 'batch 1'), name])
               for (row, name), flops in work.items() if row.endswith('batch 2'))
    assert all(row['floor_seconds'] > 0 and row['giga_flops'] > 0 for row in data['comparisons'])
    (said, ) = (fact for fact in data['facts'].values() if 'largest difference' in str(fact))
    theirs_count, our_count = re.findall(r'([\d,]+) \(', said)[:2]
    assert theirs_count == our_count
    assert all(float(difference) < 1e-4 for difference in re.findall(r'\d\.\de[+-]\d+', said))


def test_llm_backbone_says_what_is_missing_without_timm(benchmarks, monkeypatch, capsys):
    import llm_backbone
    monkeypatch.setattr(llm_backbone.importlib.util, 'find_spec', lambda name: None)
    for rows, refused in ((['vit-train'], True), (['gpt2-train'], False)):
        monkeypatch.setattr(sys, 'argv', ['llm_backbone.py', '--rows', *rows])
        if refused:
            with pytest.raises(SystemExit):
                llm_backbone.parse_args()
            assert 'requirements/bench.txt' in capsys.readouterr().err
        else:
            assert llm_backbone.parse_args().rows == rows


def test_llm_backbone_takes_numbers_of_images(benchmarks, monkeypatch, capsys):
    import llm_backbone
    monkeypatch.setattr(sys, 'argv', ['llm_backbone.py', '--rows', 'gpt2-train', '--batch', '2', '1', '2'])
    assert llm_backbone.parse_args().batch == [2, 1]
    monkeypatch.setattr(sys, 'argv', ['llm_backbone.py', '--rows', 'gpt2-train', '--batch', '4', '0'])
    with pytest.raises(SystemExit):
        llm_backbone.parse_args()
    assert '--batch 0: expected 1 image or more' in capsys.readouterr().err


@pytest.mark.parametrize('fields', ['GPT2', 'SMOLLM2'])
def test_floor_counts_the_products_of_a_backbone(benchmarks, fields):
    import llm_backbone_contenders as contenders
    from matrix_floor import giga_flops
    backbone = contenders.our_backbone(getattr(contenders, fields), contenders.Sizes(layers=2, image=48, batch=2))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = backbone(torch.randn(2, 3, 48, 48))[0]
        forward = counter.get_total_flops()
        output.sum().backward()
    work = contenders.backbone_work(backbone, batch=2)
    assert 1e-9 * forward == pytest.approx(giga_flops(work.forward))
    assert 1e-9 * counter.get_total_flops() == pytest.approx(giga_flops(work.all))


# ------------------------------------------------------------------------------------------ Segmenter head
def small_segmenter():
    from segmenter_contenders import HeadSize, SlideSize
    return (HeadSize(width=128, num_layers=2, num_classes=5, batch=2, height=3, columns=4),
            SlideSize(image=(48, 100), crop=48, stride=32))


def test_segmenter_head_compares_every_row(tmp_path):
    done = run_tool('benchmarks/segmenter_head.py', '--layers', 1, '--width', 64, '--classes', 3, '--tokens', '2x4',
                    '--image', '32x64', '--crop', 32, '--stride', 16, '--repeats', 2, '--threads', 1, '--clock', 'cpu',
                    '--out', tmp_path)
    assert done.returncode == 0, done.output
    rows, data = tables(done.output), json.loads((tmp_path / 'segmenter_head.json').read_text())
    assert [(row['row'], row['wanted'].split(' ')[0]) for row in rows] == [
        ('training fp32, attn drop 0', '1.15'), ('training fp32, attn drop 0.1', '1.00'), ('inference fp32', '1.15'),
        ('training bf16, attn drop 0', '1.00'), ('training bf16, attn drop 0.1', '1.00'), ('inference bf16', '10.00'),
        ('sliding window fp32', '1.00'), ('sliding window bf16', '1.00')]
    assert {(row['ours'], row['against']) for row in rows} == {('LanguageSegmenterHead', 'mmseg')}
    assert all(row['floor_seconds'] > 0 and row['giga_flops'] > 0 for row in data['comparisons'])
    assert float(data['facts']['largest difference of the outputs']) < 1e-4
    assert rows == tables((tmp_path / 'segmenter_head.md').read_text())


def test_both_segmenters_compute_the_same_function(benchmarks):
    from segmenter_contenders import Features, Image, build_heads, build_segmentors
    size, slide = small_segmenter()
    with torch.no_grad():
        for inputs, models in ((Features(size), build_heads(size, 0.2, 0.1)),
                               (Image(slide), build_segmentors(size, slide))):
            theirs, ours = (inputs.run(model.eval()) for model in models.values())
            assert theirs.std() > 0.1
            assert_close(ours, theirs, depth=20, terms=512)  # the norm over classes magnifies rounding


def test_both_segmenter_heads_drop_in_the_same_places(benchmarks):
    from segmenter_contenders import Features, build_heads
    size, _ = small_segmenter()
    applied, weights = [], []
    for head in build_heads(size, attn_drop=0.2, proj_drop=0.1).values():
        applied.append([])
        for module in head.modules():
            if isinstance(module, nn.Dropout) and module.p:
                module.register_forward_hook(lambda module, args, out, counts=applied[-1]: counts.append(
                    (module.p, tuple(out.shape))))
        Features(size).run(head.train())
        weights.append([module.dropout if isinstance(module, nn.MultiheadAttention) else module.attn_drop
                        for module in head.modules() if isinstance(module, nn.MultiheadAttention)
                        or hasattr(module, 'attn_drop')])
    assert weights == 2 * [2 * [0.2]]
    assert applied[0] == applied[1] == 2 * [(0.1, (2, 17, 128)), (0.1, (2, 17, 512)), (0.1, (2, 17, 128))]


def test_floor_counts_the_products_of_a_segmenter(benchmarks):
    from matrix_floor import giga_flops
    from segmenter_contenders import Features, Image, build_heads, build_segmentors, head_work, slide_work
    size, slide = small_segmenter()
    for inputs, models, work in ((Features(size), build_heads(size), head_work(size)),
                                 (Image(slide), build_segmentors(size, slide), slide_work(size, slide))):
        for model in models.values():
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                output = inputs.run(model.train())
                forward = counter.get_total_flops()
                if work.activations:  # windows are not trained with
                    output.sum().backward()
            assert 1e-9 * forward == pytest.approx(giga_flops(work.forward))
            assert 1e-9 * counter.get_total_flops() == pytest.approx(giga_flops(work.all))


# ----------------------------------------------------------------------------------------- partial training
def test_partial_training_does_the_work_that_is_counted_and_holds_what_is_trained(tmp_path):
    done = run_tool('benchmarks/partial_training.py', '--layers', 6, '--width', 64, '--image', 48, '--batch', 2,
                    '--repeats', 2, '--threads', 1, '--clock', 'cpu', '--out', tmp_path)
    assert done.returncode == 0, done.output
    results = json.loads((tmp_path / 'partial_training.json').read_text())['results']
    assert [row['trained'] for row in tables(done.output)] == [result['trained'] for result in results] == [
        'first 5 blocks', 'last block, embedding frozen', 'last block and embedding', 'all']
    for result in results:
        counted, held = result['counted'], result['bytes']
        assert result['done'] == pytest.approx(sum(counted.values()))
        assert held['gradients'] == 4 * held['trained']
        assert held['optimizer'] == pytest.approx(8 * held['trained'], rel=0.01)  # and a count of steps for each
        assert result['predicted_seconds'] > 0 and result['optimizer_seconds'] > 0
    first, last, last_embedding, everything = results
    assert last['counted']['activations'] < 0.2 * first['counted']['activations']
    assert last_embedding['counted']['activations'] == first['counted']['activations']
    assert len({result['bytes']['trained'] for result in results}) == 4
    assert everything['bytes']['trained'] == everything['bytes']['parameters']


# --------------------------------------------------------------------------------------- checkpoint reading
def read_checkpoint(tmp_path, *options):
    work = tmp_path / 'work'
    work.mkdir()
    done = run_tool('benchmarks/checkpoint_reading.py', '--size', 0.02, *options, '--out', tmp_path / 'out', TMPDIR=work)
    assert done.returncode == 0, done.output
    assert list(work.iterdir()) == []
    rows, data = tables(done.output), json.loads((tmp_path / 'out' / 'checkpoint_reading.json').read_text())
    assert all(result['memory'] > 0 and result['seconds'] > 0 for result in data['results'].values())
    own_count = data['results']['ours']['reported'] / data['block_bytes']
    assert 1 < own_count < 1.05
    assert rows[0]['bytes read by its own count'].endswith(f'= {own_count:.3f}x, wanted 1.05: met')
    return [row['way'] for row in rows]


@linux
@pytest.mark.slow
def test_checkpoint_reading_counts_and_cleans_up(tmp_path):
    assert read_checkpoint(tmp_path, '--ways', 'ours') == ['LanguageInit']


@linux
@pytest.mark.slow
@pytest.mark.parametrize('family', ['llama', 'gpt2'])
def test_checkpoint_reading_counts_every_way(family, tmp_path):
    ways = read_checkpoint(tmp_path, '--family', family)
    assert [way.split('(')[0] for way in ways] == ['LanguageInit', *3 * ['from_pretrained']]


@pytest.mark.parametrize('family', ['llama', 'gpt2'])
@pytest.mark.parametrize('size', [1 << 24, 1 << 27, 1 << 31])
def test_synthetic_checkpoint_has_the_size_asked_for(benchmarks, family, size):
    from synthetic_checkpoint import NUM_BLOCKS, block_bytes, checkpoint_config

    from lbbt_mm.language import read_spec
    spec = read_spec(checkpoint_config(family, size))
    assert block_bytes(spec, list(range(NUM_BLOCKS))) == pytest.approx(size, rel=0.02)


def test_no_room_on_the_disk_is_said_before_anything_is_written(tmp_path):
    done = run_tool('benchmarks/checkpoint_reading.py', '--size', 1e9, TMPDIR=tmp_path)
    assert done.returncode == 1 and 'GiB free' in done.output and list(tmp_path.iterdir()) == []
