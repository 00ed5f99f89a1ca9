"""tools/precompute_features.py: stores of the right features, whoever shared the work and wherever it was stopped."""
import os
import signal
import time

import pytest
import torch
from mmengine.registry import init_default_scope

from lbbt_mm.datasets.captions import open_captions
from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.language.text_encoder import TextEncoder
from lbbt_mm.zero_shot import precompute, precompute_images, precompute_texts
from lbbt_mm.zero_shot.image_encoder import ImageEncoder
from lbbt_mm.zero_shot.image_sources import CaptionImages, SplitImages
from lbbt_mm.zero_shot.precompute import main
from tests.image_folders import folder_config, write_splits
from tests.tiny_captions import write_captions
from tests.tiny_checkpoints import build_model
from tests.tiny_tokenizer import write_tokenizer
from tests.tiny_vision import PIPELINE, write_vision
from tests.tool_processes import REPO, finish, run_tool, start


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Eleven images with two captions each, a language model and a vision model."""
    folder = tmp_path_factory.mktemp('precompute')
    write_captions(folder, 11, each=2)
    build_model('gpt2').save_pretrained(folder / 'gpt2')
    write_tokenizer(folder / 'gpt2')
    write_vision(folder)
    return folder


@pytest.fixture
def run(folder, capsys):
    """Run the tool in this process; its exit status and output."""
    def run(kind, *arguments, captions=None):
        model = dict(texts=folder / 'gpt2', images=f'{folder / "vit"}.py,{folder / "vit"}.pth')[kind]
        status = main([kind, str(model), '--captions', str(captions or folder / 'captions.csv'), *map(str, arguments),
                       *(['--workers', '0'] if kind == 'images' else [])])
        return status, ' '.join(capsys.readouterr())
    return run


def content(store):
    return {path.name: path.read_bytes() for path in store.iterdir()}


def read(store, **expected):
    opened = FeatureStore.open(store, **expected)
    assert not any(map(opened.fault_of, range(opened.index.num_shards)))
    return opened, opened.rows(torch.arange(len(opened)))


def test_texts(run, folder, tmp_path):
    status, output = run('texts', '--out', tmp_path / 'texts', '--shard-rows', 8, '--batch-tokens', 20)
    assert status == 0 and '22 features of captions made. Complete: 22 x 32 in float32, 3 shards.' in output, output
    encoder, pairs = TextEncoder(str(folder / 'gpt2')), open_captions(folder / 'captions.csv').pairs
    opened, found = read(tmp_path / 'texts', kind='text', **encoder.identity)
    assert opened.keys == [key for key, _ in pairs] and opened.keys[:3] == ['images/000.png'] * 2 + ['images/001.png']
    expected = torch.cat([encoder.features([text]) for _, text in pairs])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_caption_of_many_images_is_read_once_a_shard(run, folder, tmp_path, monkeypatch):
    texts = ['a dog', 'a cat', 'a dog', 'a dog', 'a cat', 'a bird']
    captions, read_texts, batches = write_captions(tmp_path, 6, captions=texts), [], TextEncoder.batches
    monkeypatch.setattr(TextEncoder, 'batches',
                        lambda self, some, *rest: read_texts.append(some) or batches(self, some, *rest))
    status, output = run('texts', '--out', tmp_path / 'texts', '--shard-rows', 4, captions=captions)
    assert status == 0 and '6 features of captions made' in output
    assert read_texts == [['a dog', 'a cat'], ['a cat', 'a bird']]
    found = read(tmp_path / 'texts')[1]
    expected = torch.cat([TextEncoder(str(folder / 'gpt2')).features([text]) for text in texts])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])


def test_texts_of_a_block_in_half_precision(run, folder, tmp_path):
    assert run('texts', '--out', tmp_path / 'texts', '--layer', 1, '--pooling', 'mean', '--dtype', 'bfloat16')[0] == 0
    encoder = TextEncoder(str(folder / 'gpt2'), 1, 'mean', 'bfloat16')
    opened, found = read(tmp_path / 'texts', layer=1, pooling='mean', dtype='bfloat16')
    expected = encoder.features([text for _, text in open_captions(folder / 'captions.csv').pairs])
    assert torch.equal(found, expected.bfloat16().float())
    assert (tmp_path / 'texts' / 'shard-00000-of-00001.safetensors').stat().st_size < 22 * 32 * 2 + 1000


def test_images(run, folder, tmp_path):
    status, output = run('images', '--out', tmp_path / 'images', '--shard-rows', 4, '--batch-size', 3)
    assert status == 0 and '11 features of images made. Complete: 11 x 16 in float32, 3 shards.' in output, output
    init_default_scope('mmpretrain')
    encoder = ImageEncoder(f'{folder / "vit"}.py,{folder / "vit"}.pth')
    opened, found = read(tmp_path / 'images', kind='image', **encoder.identity)
    source = CaptionImages(open_captions(folder / 'captions.csv'), PIPELINE, 'vit')
    assert opened.keys == source.keys == [f'images/{number:03d}.png' for number in range(11)]
    expected = torch.cat([encoder.features([source.image(row)]) for row in range(11)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_images_of_the_configs_own_data(tmp_path, capsys):
    write_splits(tmp_path / 'data')
    dataset = folder_config(tmp_path / 'data', data_prefix='train')
    dataset['pipeline'] = PIPELINE
    model = write_vision(tmp_path, train_dataloader=dict(dataset=dataset))
    assert main(['images', model, '--split', 'train', '--out', str(tmp_path / 'out'), '--workers', '0']) == 0
    opened, found = read(tmp_path / 'out')
    assert opened.keys == ['a/0.png', 'a/1.png', 'b/0.png', 'b/1.png', 'c/0.png', 'c/1.png']
    source = SplitImages(dataset, 'vit')
    torch.testing.assert_close(found[3], ImageEncoder(model).features([source.image(3)])[0], rtol=1e-5, atol=1e-5)
    assert main(['images', model, '--split', 'val', '--out', str(tmp_path / 'val')]) == 2
    assert 'its config has no val_dataloader' in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['texts', 'images'])
def test_shares_in_any_order_are_the_whole(run, tmp_path, kind, monkeypatch):
    options = ['--shard-rows', 4]
    assert run(kind, '--out', tmp_path / 'whole', *options)[0] == 0
    status, output = run(kind, '--out', tmp_path / 'shared', *options, '--shard-of', '1/2')
    assert status == 0 and 'shards are left to other processes' in output
    monkeypatch.setenv('RANK', '0')  # as torchrun does
    monkeypatch.setenv('WORLD_SIZE', '2')
    status, output = run(kind, '--out', tmp_path / 'shared', *options)
    assert status == 0 and 'were there. Complete' in output
    assert content(tmp_path / 'shared') == content(tmp_path / 'whole')


@pytest.mark.parametrize('kind', ['texts', 'images'])
def test_what_is_missing_is_made_and_nothing_else(run, tmp_path, kind):
    options = ['--out', tmp_path / 'store', '--shard-rows', 4]
    assert run(kind, *options)[0] == 0
    before = content(tmp_path / 'store')
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'store').iterdir()}
    os.unlink(next((tmp_path / 'store').glob('shard-00001-*')))
    assert ' 4 features of ' in run(kind, *options)[1]
    assert content(tmp_path / 'store') == before
    status, output = run(kind, *options)
    assert status == 0 and ' 0 features of ' in output and 'Complete' in output
    assert all((tmp_path / 'store' / name).stat().st_mtime_ns == when for name, when in times.items()
               if name.startswith('shard') and '00001-of' not in name)


@pytest.mark.parametrize('kind, change, says', [
    ('texts', ['--layer', '2'], 'is of other features: layer -1 where 2 is expected'),
    ('texts', ['--shard-rows', '5'], 'shard_rows 8192 where 5 is expected'),
    ('images', ['--pooling', 'mean'], "pooling 'class' where 'mean' is expected"),
    ('images', ['--cfg-options', 'test_pipeline.1.scale=17'], 'is of other features: revision ')])
def test_a_store_of_other_features_is_not_gone_on_with(run, tmp_path, kind, change, says):
    assert run(kind, '--out', tmp_path / 'store')[0] == 0
    before = content(tmp_path / 'store')
    status, output = run(kind, '--out', tmp_path / 'store', *change)
    assert status == 2 and says in output and output.strip().count('\n') == 0, output
    assert content(tmp_path / 'store') == before


@pytest.mark.parametrize('kind', ['texts', 'images'])
def test_data_that_changed_is_noticed(run, tmp_path, kind):
    captions = write_captions(tmp_path, 3, captions=['a cat', 'a dog', 'a bird'])
    assert run(kind, '--out', tmp_path / 'store', captions=captions)[0] == 0
    if kind == 'texts':
        write_captions(tmp_path, 3, captions=['a cat', 'a bird', 'a dog'])
    else:
        path = tmp_path / 'images' / '001.png'
        path.write_bytes((tmp_path / 'images' / '002.png').read_bytes())
    status, output = run(kind, '--out', tmp_path / 'store', captions=captions)
    assert status == 2 and 'is of other features: inputs ' in output


def test_an_empty_caption_is_noticed_before_the_model_is_opened(run, tmp_path):
    captions = write_captions(tmp_path, 2, captions=['a cat', ' '])
    status, output = run('texts', '--out', tmp_path / 'store', captions=captions)
    assert status == 2 and 'row 2 has no caption' in output and not (tmp_path / 'store').exists()


def test_features_that_are_no_numbers(folder, tmp_path, capsys):
    model = write_vision(tmp_path)
    path = tmp_path / 'vit.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['state_dict']['backbone.ln1.weight'].fill_(1e38)
    torch.save(checkpoint, path)
    status = main(['images', model, '--captions', str(folder / 'captions.csv'), '--out', str(tmp_path / 'store'),
                   '--workers', '0', '--pooling', 'mean'])
    assert status == 2 and 'are not finite (' in capsys.readouterr().err


@pytest.mark.parametrize('arguments, says', [
    (['texts', 'gpt2', '--captions', 'a.csv'], 'the following arguments are required: --out'),
    (['images', 'a.py', '--captions', 'a.csv', '--split', 'test', '--out', 'x'], 'not allowed with argument'),
    (['images', 'a.py', '--split', 'test', '--images', 'x', '--out', 'x'], '--images: expected with --captions'),
    (['texts', '.', '--captions', 'a.csv', '--out', 'x', '--revision', 'v2'],
     '--revision v2: . is on this machine and has no revisions; expected a hub id'),
    (['texts', 'gpt2', '--captions', 'a.csv', '--out', 'x', '--shard-of', '2/2'], '2/2: expected K/N, K from 0 to N - 1')])
def test_command_lines_that_cannot_be(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(arguments)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize('model, absent', [('{}/none.py', 'none.py'), ('a={}/none.py', 'none.py'),
                                           ('{}/a.py,{}/none.pth', 'none.pth')])
def test_a_model_that_is_not_there_is_said_before_codebases_are_imported(model, absent, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(precompute, 'import_module', lambda name: pytest.fail('work has begun'))
    (tmp_path / 'a.py').touch()
    model = model.replace('{}', str(tmp_path))
    assert main(['images', model, '--split', 'test', '--out', str(tmp_path / 'out')]) == 2
    assert capsys.readouterr().err.startswith(f'{tmp_path}/{absent}: no such file or folder; expected ')


def test_a_revision_is_of_a_model_on_the_hub(tmp_path):
    given = ['texts', 'owner/name', '--captions', 'a.csv', '--out', str(tmp_path / 'x'), '--revision', 'v2']
    assert precompute.parse_args(given).revision == 'v2'


@pytest.mark.parametrize('kind', ['texts', 'images'])
def test_a_folder_with_other_files_is_refused_before_a_model_is_loaded(run, tmp_path, kind, monkeypatch):
    for module, name in ((precompute_images, 'ImageEncoder'), (precompute_texts, 'TextEncoder')):
        monkeypatch.setattr(module, name, lambda *given: pytest.fail('work has begun'))
    (tmp_path / 'thesis.tex').touch()
    status, output = run(kind, '--out', tmp_path)
    assert status == 2 and 'holds thesis.tex, which is of no store of features' in output, output


def test_ranks_that_are_no_numbers(run, tmp_path, monkeypatch):
    monkeypatch.setenv('RANK', 'first')
    status, output = run('texts', '--out', tmp_path / 'store')
    assert status == 2 and 'RANK/WORLD_SIZE of the environment is first/1; expected numbers' in output


# ------------------------------------------------------------------------------------- processes of their own
@pytest.fixture(scope='module')
def large(tmp_path_factory):
    """So many captions and images that there is time to kill a process between its shards."""
    folder = tmp_path_factory.mktemp('large')
    write_captions(folder, 160)
    build_model('llama', num_hidden_layers=4, hidden_size=256, intermediate_size=1024).save_pretrained(folder / 'llama')
    write_tokenizer(folder / 'llama')
    write_vision(folder, backbone=dict(type='VisionTransformer', arch='deit-tiny', img_size=16, patch_size=8))
    return folder


def command(folder, kind, store):
    model = dict(texts=folder / 'llama', images=f'{folder / "vit"}.py,{folder / "vit"}.pth')[kind]
    return ('precompute_features.py', kind, model, '--captions', folder / 'captions.csv', '--out', store,
            '--shard-rows', 8, *(('--workers', 2, '--batch-size', 3) if kind == 'images' else ('--batch-tokens', 30)))


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['texts', 'images'])
def test_a_process_that_is_killed_loses_nothing(large, tmp_path, kind):
    done = run_tool(*command(large, kind, tmp_path / 'whole'))
    assert done.returncode == 0, done.output
    store, shards = tmp_path / 'killed', []
    for least in (2, 6, 11):
        tool, *arguments = command(large, kind, store)
        process = start('python', REPO / 'tools' / tool, *arguments)
        while len(shards) < least and process.poll() is None:
            shards = list(store.glob('shard-*.safetensors'))
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        assert finish(process).returncode == -signal.SIGKILL
        assert least <= len(list(store.glob('shard-*.safetensors'))) < 20 and not (store / 'index.json').exists()
        with pytest.raises(ValueError, match='is a half-written store of features'):
            FeatureStore.open(store)
    done = run_tool(*command(large, kind, store))
    assert done.returncode == 0 and 'were there. Complete: 160 x' in done.output, done.output
    assert content(store) == content(tmp_path / 'whole')


@pytest.mark.slow
def test_processes_of_torchrun_share_the_work(large, tmp_path):
    done = run_tool(*command(large, 'texts', tmp_path / 'whole'))
    assert done.returncode == 0, done.output
    tool, *arguments = command(large, 'texts', tmp_path / 'shared')
    done = finish(start('python', '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2',
                        REPO / 'tools' / tool, *arguments))
    assert done.returncode == 0 and done.output.count('features of captions made') == 2, done.output
    assert content(tmp_path / 'shared') == content(tmp_path / 'whole')
