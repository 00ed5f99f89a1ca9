"""tools/test.py, and mmdet's own inferencer, on a trained detector whose language model is gone."""
import json
import os
import pickle
import re
from pathlib import Path

import cv2
import pytest
import torch
from mmdet.apis import DetInferencer

from lbbt_mm.files.safe_checkpoints import load_checkpoint_safely
from tests.tiny_detection import CLASSES
from tests.tool_processes import metric, run_tool


@pytest.fixture(scope='module')
def tested(learned, tmp_path_factory):
    """One run with every flag but --tta, from a folder that is not the checkout."""
    folder = tmp_path_factory.mktemp('tested')
    returncode, output = run_tool('test.py', learned.dumped, learned.checkpoint(50), '--work-dir', folder / 'work', '--out',
                                  'boxes.pkl', '--show-dir', 'pictures', '--cfg-options', 'test_dataloader.batch_size=3',
                                  cwd=folder)
    assert returncode == 0, output
    return folder, output


def test_it_gives_the_metric_that_training_ended_with(learned, tested):
    """From the dumped config, offline; the batch size and its padding make no difference."""
    assert not learned.language.exists()
    assert metric(tested[1]) == metric(learned.output) > 0.4


def test_out_writes_the_predictions(tested, data):
    predictions = pickle.loads((tested[0] / 'boxes.pkl').read_bytes())
    annotations = json.loads((data / 'annotations' / 'instances_train2017.json').read_text())
    assert [item['img_id'] for item in predictions] == [item['id'] for item in annotations['images']]
    for item in predictions:
        instances = item['pred_instances']
        assert instances['bboxes'].shape == (10, 4) and instances['scores'].shape == instances['labels'].shape == (10, )


def test_show_dir_has_a_picture_of_every_image(tested):
    pictures = list((tested[0] / 'pictures').rglob('*.png')) + list((tested[0] / 'work').rglob('pictures/**/*.png'))
    assert len({path.name for path in pictures}) == 12
    assert cv2.imread(str(pictures[0])).shape[2] == 3


def test_the_config_that_training_left_stays_as_it_was(learned):
    """Without --work-dir too, and with a model that is wrapped for augmentation."""
    before = learned.dumped.read_text()
    returncode, output = run_tool('test.py', learned.dumped, learned.checkpoint(50), '--tta')
    assert returncode == 0, output
    assert learned.dumped.read_text() == before
    assert (learned.work_dir / 'test' / learned.dumped.name).is_file()


def test_out_writes_pickles_only(learned):
    returncode, output = run_tool('test.py', learned.dumped, learned.checkpoint(50), '--out', 'boxes.json')
    assert returncode != 0 and '--out boxes.json: expected a name ending in .pkl' in output


def test_tta_averages_with_the_mirror_image(learned, tested, tmp_path):
    returncode, output = run_tool('test.py', learned.dumped, learned.checkpoint(50), '--work-dir', tmp_path, '--tta',
                                  '--out', tmp_path / 'boxes.pkl')
    assert returncode == 0, output
    assert metric(output) > 0.5 * metric(tested[1]), 'boxes of the mirror image were flipped back'
    ours, theirs = (pickle.loads(path.read_bytes()) for path in (tmp_path / 'boxes.pkl', tested[0] / 'boxes.pkl'))
    assert ours[0]['img_id'] == theirs[0]['img_id']
    assert not torch.equal(ours[0]['pred_instances']['scores'], theirs[0]['pred_instances']['scores'])


def test_a_checkpoint_that_is_absent_is_one_error(learned):
    returncode, output = run_tool('test.py', learned.dumped, 'none.pth')
    assert returncode != 0
    assert 'none.pth: no such checkpoint file. Give the path of a .pth file that tools/train.py wrote.' in output


def test_a_checkpoint_that_needs_unpickling_is_refused_unless_it_is_trusted(learned, tmp_path):
    trace = tmp_path / 'trace'

    class LeavesATrace:

        def __reduce__(self):
            return os.mkdir, (str(trace), )

    torch.save(dict(load_checkpoint_safely(learned.checkpoint(50)), extra=LeavesATrace()), tmp_path / 'evil.pth')
    command = ('test.py', learned.dumped, tmp_path / 'evil.pth', '--work-dir', tmp_path / 'work')
    returncode, output = run_tool(*command)
    assert returncode != 0 and 'evil.pth: holds more than tensors' in output and '--trust-checkpoint' in output
    assert not trace.exists()
    returncode, output = run_tool(*command, '--trust-checkpoint')
    assert returncode == 0, output
    assert trace.is_dir() and metric(output) == metric(learned.output)


def test_a_truncated_checkpoint_is_one_error(learned, tmp_path):
    whole = learned.checkpoint(50).read_bytes()
    (tmp_path / 'cut.pth').write_bytes(whole[:-1000])
    returncode, output = run_tool('test.py', learned.dumped, tmp_path / 'cut.pth')
    assert returncode != 0 and 'cut.pth: is not a complete PyTorch checkpoint' in output


def test_a_test_set_that_is_absent_is_one_error(learned):
    returncode, output = run_tool('test.py', learned.dumped, learned.checkpoint(50), '--cfg-options',
                                  'test_dataloader.dataset.ann_file=annotations/none.json')
    assert returncode != 0
    assert re.search('test_dataloader.dataset.ann_file: .*annotations/none.json does not exist', output)


def test_mmdet_s_inferencer_takes_config_and_checkpoint(learned, data):
    """Anyone who gets these two files can use the detector; the checkpoint alone says which classes there are."""
    inferencer = DetInferencer(str(learned.dumped), str(learned.checkpoint(50)), device='cpu', show_progress=False)
    assert inferencer.visualizer.dataset_meta['classes'] == CLASSES
    content = json.loads((data / 'annotations' / 'instances_train2017.json').read_text())
    found = 0  # processors round differently, and so do fifty epochs: not every image is learnt on each of them
    for image in content['images']:
        result, = inferencer(str(data / 'train2017' / image['file_name']), no_save_vis=True)['predictions']
        x0, y0, x1, y1 = result['bboxes'][0]
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        found += result['scores'][0] > 0.3 and any(
            item['image_id'] == image['id'] and x < centre[0] < x + w and y < centre[1] < y + h
            and result['labels'][0] == item['category_id'] - 1
            for item in content['annotations'] for x, y, w, h in [item['bbox']])
    assert found >= 7, 'of 12 images; boxes at random would find 2'


def test_the_checkpoint_alone_rebuilds_the_model(learned):
    """Its meta holds the config, with the language model's fields resolved."""
    from mmdet.apis import init_detector
    from mmengine.config import Config
    meta = load_checkpoint_safely(learned.checkpoint(50))['meta']
    model = init_detector(Config.fromstring(meta['lbbt_mm_config_text'], '.py'), str(learned.checkpoint(50)), device='cpu')
    assert model.language.spec.model_type == 'gpt2' and isinstance(Path(model.language.checkpoint).name, str)


class TestCheckpointsThatDoNotFit:
    """Half of a checkpoint is not scored."""

    @staticmethod
    def refused(config, checkpoint, *arguments):
        returncode, output = run_tool('test.py', config, checkpoint, *arguments)
        assert returncode != 0 and 'coco/bbox_mAP' not in output, output
        return output

    @pytest.mark.parametrize('option, tensor', [
        ('model.language.encoder_blocks=0:1', 'this model has no encoder.layers.1'),
        ('model.num_queries=30', r'query_embedding.weight has shape \(\d+, \d+\) there and \(30, \d+\) in this model')])
    def test_another_model(self, learned, option, tensor):
        output = self.refused(learned.dumped, learned.checkpoint(50), '--cfg-options', option)
        assert re.search(f'{learned.checkpoint(50)}: does not fit this config: .*{tensor}', output)
        assert 'Give the config that it was trained with (its work directory has it)' in output

    @pytest.mark.parametrize('option, key', [
        ('model.data_preprocessor.mean=[0,0,0]', 'data_preprocessor.mean'),
        ('model.language.config.layer_norm_epsilon=0.1', 'model.language.config'),
        ('model.positional_encoding.normalize=False', 'model.positional_encoding.normalize')])
    def test_another_function_of_the_same_shapes(self, learned, option, key, tmp_path):
        output = self.refused(learned.dumped, learned.checkpoint(50), '--cfg-options', option)
        assert re.search(f'of another function: {key}.*--allow-change {key}\\.', output), output
        if key == 'data_preprocessor.mean':
            returncode, output = run_tool('test.py', learned.dumped, learned.checkpoint(50), '--cfg-options', option,
                                          '--allow-change', 'mean', '--work-dir', tmp_path)
            assert returncode == 0 and f'--allow-change: {key}' in output, output
            returncode, output = run_tool('train.py', learned.dumped, '--work-dir', tmp_path / 'new', '--cfg-options',
                                          option, 'model.language.arm=host', f'load_from={learned.checkpoint(50)}')
            assert returncode == 2 and f'of another function: {key}' in output, output

    def test_a_file_with_one_foreign_tensor(self, learned, tmp_path):
        torch.save(dict(foreign=torch.ones(3)), tmp_path / 'foreign.pth')
        output = self.refused(learned.dumped, tmp_path / 'foreign.pth')
        assert re.search(r'it lacks \S+ \(\d+ such tensors\); this model has no foreign\.', output)

    def test_a_tensor_more_or_less(self, learned, tmp_path):
        checkpoint = load_checkpoint_safely(learned.checkpoint(50))
        checkpoint['state_dict']['aux_head.weight'] = torch.ones(2)
        torch.save(checkpoint, tmp_path / 'more.pth')
        assert 'this model has no aux_head.weight' in self.refused(learned.dumped, tmp_path / 'more.pth')
        returncode, output = run_tool('test.py', learned.dumped, tmp_path / 'more.pth', '--leave-out', 'aux_head',
                                      '--work-dir', tmp_path)
        assert returncode == 0 and metric(output) == metric(learned.output), output
        del checkpoint['state_dict']['aux_head.weight'], checkpoint['state_dict']['query_embedding.weight']
        torch.save(checkpoint, tmp_path / 'less.pth')
        assert 'it lacks query_embedding.weight' in self.refused(learned.dumped, tmp_path / 'less.pth')
