"""The table in the log says where every block came from and went to."""
import re
import zlib

import pytest
import torch

from lbbt_mm.language import LanguageOptions, open_checkpoint, read_arm_block
from lbbt_mm.language.load_report import LoadReport
from tests.tiny_checkpoints import CONFIGS
from tests.vision_stack import initialised, language_of


def table_of(log):
    tables = [message for message in log if 'LanguageInit: arm' in message and '|' in message]
    assert len(tables) == 1
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in tables[0].splitlines()
            if line.startswith('|') and '--' not in line]
    return tables[0].splitlines()[1], [dict(zip(rows[0], row)) for row in rows[1:]]


def unwrapped(log):
    return re.sub(r'\s+', ' ', next(message for message in log if 'LanguageInit: arm' in message))


def test_table_has_a_row_for_every_block_with_file_and_checksum(sharded_folders, log):
    initialised(language_of(sharded_folders['gpt2'], blocks=[2, 0, 2], revision='v1'))
    title, rows = table_of(log)
    checkpoint = open_checkpoint(sharded_folders['gpt2'])
    assert 'arm language, seed 0' in title
    assert [row['block'] for row in rows if row['block']] == ['2', '0']
    assert [row['went to'] for row in rows if row['block']] == ['blocks.0, blocks.2', 'blocks.1']
    for row, index in zip((row for row in rows if row['block']), (2, 0)):
        tensors = checkpoint.read_block(index)
        checksum = 0
        for name in sorted(tensors):
            checksum = zlib.crc32(tensors[name].numpy().tobytes(), checksum)
        assert row['crc32'] == f'{checksum:08x}'
        assert row['parameters'] == f'{sum(tensor.numel() for tensor in tensors.values()):,}'
        assert row['dtype'] == 'float32' and row['arm'] == 'language'
        assert row['file'].split(',')[0] == checkpoint.files_of_block(index)[0]


def test_table_says_where_the_weights_came_from_and_how_much_was_read(folders, log):
    initialised(language_of(folders['gpt2'], blocks='0:2'))
    text = re.sub(r'\s+', ' ', next(message for message in log if 'LanguageInit: arm' in message))
    assert re.search(r'\(gpt2, 4 blocks, width 32\); 25,408 parameters, [\d,]+ bytes read', text)
    assert text.count('model.safetensors') == 2


def test_table_lists_the_layers_that_got_no_block(folders, log):
    initialised(language_of(folders['gpt2'], blocks='0:2', extra_layers='random'), num_layers=4)
    rows = table_of(log)[1]
    assert [(row['block'], row['went to'], row['arm'], row['file']) for row in rows] == [
        ('0', 'blocks.0', 'language', 'model.safetensors'), ('1', 'blocks.1', 'language', 'model.safetensors'),
        ('none (extra layer)', 'blocks.2', 'random', 'drawn'), ('none (extra layer)', 'blocks.3', 'random', 'drawn')]


def test_table_of_a_random_arm_names_no_file(log):
    initialised(dict(config=CONFIGS['gpt2'], arm='random', blocks=0))
    title, (row, ) = table_of(log)
    assert row['file'] == 'drawn' and 'no weights read' in unwrapped(log)
    assert re.search(r'drawn with standard deviation 0\.02, outputs of a branch 0\.007071', unwrapped(log))


@pytest.mark.parametrize('model_type, measured', [('llama', 0.0417), ('qwen3', 0.0417)])
def test_table_says_what_was_drawn_and_what_came_out(model_type, measured, log):
    stack = initialised(dict(config={**CONFIGS[model_type], 'initializer_range': 1 / 24}, arm='random', blocks=0))
    _, (row, ) = table_of(log)
    assert 'drawn with standard deviation 0.04167,' in unwrapped(log)
    assert float(row['std']) == pytest.approx(measured, rel=0.05)
    assert stack.blocks[0].mlp.fc1.weight.std().item() == pytest.approx(1 / 24, rel=0.05)


def test_table_says_how_large_the_language_weights_are(folders, log):
    initialised(language_of(folders['llama'], blocks=1))
    matrices = [tensor.flatten() for tensor in open_checkpoint(folders['llama']).read_block(1).values() if tensor.ndim > 1]
    assert float(table_of(log)[1][0]['std']) == pytest.approx(torch.cat(matrices).std().item(), rel=1e-3)
    assert 'drawn with' not in unwrapped(log)


def test_parts_outside_the_blocks_have_rows_of_their_own(folders):
    checkpoint = open_checkpoint(folders['gpt2'])
    report = LoadReport(LanguageOptions.from_dict(language_of(folders['gpt2'])), checkpoint)
    for part, path in (('final_norm', 'norm'), ('position_table', 'pos_embed')):
        report.add(part, [path], 'language', checkpoint.read_block(part))
    final_norm, table = table_of([report.render()])[1]
    assert (final_norm['block'], final_norm['went to'], final_norm['std']) == ('final norm', 'norm', '-')
    assert (table['block'], table['went to'], table['file']) == ('position table', 'pos_embed', 'model.safetensors')


def test_title_names_the_revision_and_counts_all_parameters(folders):
    report = LoadReport(LanguageOptions.from_dict(language_of(folders['gpt2'], arm='random', revision='v1')), None)
    spec = open_checkpoint(folders['gpt2']).spec
    tensors = [read_arm_block('random', spec, None, index, 0) for index in (0, 1)]
    for index, block in enumerate(tensors):
        report.add(index, [f'blocks.{index}'], 'random', block)
    text = unwrapped([report.render()])
    count = sum(tensor.numel() for block in tensors for tensor in block.values())
    assert f' at v1 (gpt2, 4 blocks, width 32); {count:,} parameters, no weights read' in text
