"""Zero-shot tasks: which images, which labels, which prompts."""
import pytest
import torch

from lbbt_mm.files.feature_store import FeatureStore
from lbbt_mm.zero_shot.compare_text_encoders import TaskFiles
from lbbt_mm.zero_shot.tasks import all_prompts, read_labels, read_task
from tests.feature_stores import write_store


@pytest.fixture
def images(tmp_path):
    keys = ['a b/1.png', '2.png', '3.png', '4.png']
    return FeatureStore.open(write_store(tmp_path / 'images', 'image', keys, torch.randn(4, 3)))


def files(folder, labels='3.png 1\na b/1.png 0\n4.png 1\n', names='red cat\ndog\n', **more):
    (folder / 'labels.txt').write_text(labels)
    (folder / 'names.txt').write_text(names)
    return TaskFiles('pets', folder / 'labels.txt', str(folder / 'names.txt'), **more)


def test_images_without_a_label_are_left_out(images, tmp_path):
    task = read_task(files(tmp_path), 'a {}', images)
    assert task.rows.tolist() == [2, 0, 3] and task.labels.tolist() == [1, 0, 1]
    assert task.prompts == ['a red cat', 'a dog'] and task.num_classes == 2
    assert task.chance == 0.5 and task.majority == pytest.approx(2 / 3)


def test_a_task_may_have_templates_of_its_own(images, tmp_path):
    own = tmp_path / 'templates.txt'
    own.write_text('ein {}\nkein {}\n')
    task = read_task(files(tmp_path, templates=str(own)), 'a {}', images)
    assert task.prompts == ['ein red cat', 'kein red cat', 'ein dog', 'kein dog']
    assert all_prompts([task, task._replace(prompts=['ein dog', 'a dog'])]) == [*task.prompts, 'a dog']


@pytest.mark.parametrize('wrong, message', [
    (dict(labels='5.png 0\n'), "the image '5.png' is not in .*images, whose first is 'a b/1.png'"),
    (dict(labels='2.png 2\n'), 'an image has the label 2, and .*names.txt has 2 names'),
    (dict(names='cat\n', labels='2.png 0\n'), 'has 1 name; expected two classes'),
    (dict(labels='2.png\n'), "line 1 is '2.png'; expected an image and its label"),
    (dict(labels='2.png -1\n'), 'expected an image and its label'),
    (dict(labels='2.png 1\n2.png 1\n'), "line 2: the image '2.png' is there twice"),
    (dict(labels=''), 'is empty'),
])
def test_files_that_do_not_fit(images, tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        read_task(files(tmp_path, **wrong), 'a {}', images)


def test_labels_are_text(tmp_path):
    (tmp_path / 'labels').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='is no text in UTF-8'):
        read_labels(tmp_path / 'labels')
