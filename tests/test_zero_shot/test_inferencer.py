"""tools/zero_shot.py: images classified as named classes, by the models that a ShareLock was trained on and no others."""
import csv
import shutil

import numpy as np
import pytest
import torch

from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.zero_shot.inferencer import ZeroShotInferencer
from tests.closeness import assert_close
from tests.tiny_checkpoints import build_model
from tests.tiny_tokenizer import write_tokenizer
from tests.tiny_zero_shot import NAMES, TEMPLATES, write_zero_shot
from tests.tool_processes import run_tool


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_zero_shot(tmp_path_factory.mktemp('made'))


def settings(folder, **others):
    return {**dict(run=f'{folder}/sharelock.py,{folder}/sharelock.pth', classes=NAMES, templates=TEMPLATES,
                   vision=f'{folder}/vit.py,{folder}/vit.pth', text=str(folder / 'llama')), **others}


def pictures(folder):
    return [str(path) for path in sorted((folder / 'images').iterdir())]


def test_images_have_the_scores_of_their_stored_features(folder):
    """Both models are those of the stores, in the way in which they made these, and so is what is done to an image."""
    inferencer = ZeroShotInferencer(**settings(folder))
    found = inferencer(pictures(folder), batch_size=4)
    store = FeatureStore.open(folder / 'features' / 'images')
    expected = inferencer.model.zero_shot.scores(inferencer.model, store.rows(torch.arange(len(store))))
    assert_close(torch.from_numpy(np.stack([result['pred_scores'] for result in found])), expected)
    assert [result['pred_label'] for result in found] == expected.argmax(1).tolist()
    assert [result['pred_class'] for result in found] == [NAMES[label] for label in expected.argmax(1)]
    assert inferencer.model.zero_shot.classes._text['pooling'] == 'mean'


def test_the_tool_shows_and_writes_the_best_classes(folder, tmp_path):
    names, out = tmp_path / 'names.txt', tmp_path / 'classes.csv'
    names.write_text('\n'.join(NAMES))
    given = settings(folder)
    returncode, output = run_tool('zero_shot.py', given['run'], folder / 'images', '--classes', names, '--templates',
                                  *TEMPLATES, '--vision', given['vision'], '--text', given['text'], '--topk', 2,
                                  '--cache', tmp_path / 'cache', '--out', out)
    assert returncode == 0, output
    expected = ZeroShotInferencer(**given)(pictures(folder))
    with open(out, newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['class 1'] for row in rows] == [result['pred_class'] for result in expected]
    assert [row['image'] for row in rows] == pictures(folder)
    assert [float(row['p 1']) for row in rows] == pytest.approx([result['pred_score'] for result in expected], abs=6e-4)
    assert all(float(row['p 1']) >= float(row['p 2']) and row['class 1'] != row['class 2'] for row in rows)
    assert '3 classes' in output and rows[0]['class 1'] in output and list((tmp_path / 'cache').iterdir())


def test_models_of_the_config_are_taken_where_none_is_given(folder):
    found = ZeroShotInferencer(f'{folder}/zero_shot.py,{folder}/sharelock.pth')(pictures(folder))
    expected = ZeroShotInferencer(**settings(folder))(pictures(folder))
    assert [result['pred_score'] for result in found] == pytest.approx([result['pred_score'] for result in expected])


class TestErrors:

    @pytest.mark.parametrize('others, message', [
        (dict(vision=None), r'sharelock: its config names no vision model .*Give it: --vision'),
        (dict(text=None), r'sharelock: its config names no language model .*Give it: --text'),
        (dict(classes=None), 'zero_shot names no classes'),
        (dict(classes=[]), 'the list of classes: class 0 has no name'),
        (dict(templates=['a photo']), "'a photo' has no place for the name"),
        (dict(options=['model.text.pooling=last']), "features whose pooling is 'mean'; that of the text model here"),
        (dict(options=['model.type=ImageClassifier']), 'its model is a ImageClassifier; expected a lbbt_mm.ShareLock'),
    ])
    def test_settings_that_cannot_be(self, folder, others, message):
        with pytest.raises(ValueError, match=message):
            ZeroShotInferencer(**settings(folder, **others))

    def test_another_language_model_than_that_of_the_features(self, folder, tmp_path):
        build_model('llama', seed=1).save_pretrained(tmp_path / 'llama')
        write_tokenizer(tmp_path / 'llama')
        with pytest.raises(ValueError, match='whose revision is .* Give the model that the features were made with'):
            ZeroShotInferencer(**settings(folder, text=str(tmp_path / 'llama')))

    def test_the_same_one_elsewhere_is_the_same(self, folder, tmp_path):
        shutil.copytree(folder / 'llama', tmp_path / 'renamed')
        ZeroShotInferencer(**settings(folder, text=str(tmp_path / 'renamed')))

    def test_another_vision_model_than_that_of_the_features(self, folder, tmp_path):
        state = torch.load(folder / 'vit.pth', weights_only=True)['state_dict']
        state['backbone.ln1.bias'] += 1
        torch.save(dict(state_dict=state), tmp_path / 'vit.pth')
        with pytest.raises(ValueError, match='features whose revision is .*that of the vision model here is'):
            ZeroShotInferencer(**settings(folder, vision=f'{folder}/vit.py,{tmp_path}/vit.pth'))

    def test_images_that_are_not_there(self, folder, tmp_path):
        given = settings(folder)
        for place, message in ((tmp_path / 'none.png', 'none.png: no such file; expected images'),
                               (tmp_path, 'holds no images; expected images, or folders of them')):
            returncode, output = run_tool('zero_shot.py', given['run'], place, '--classes', *NAMES)
            assert returncode == 2 and message in output
