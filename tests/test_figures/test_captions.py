"""Images and their captions: one for one, in order, from files or from the names of classes."""
import argparse
import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from lbbt_mm.figures.captions import captioned_images, read_pairs


def captioned(run, captions=None, split='test', most=100, template='a photo of a {}', class_names=None):
    return captioned_images(run, argparse.Namespace(captions=captions, split=split, max_samples=most, template=template,
                                                    class_names=class_names))


def lines(path, *texts):
    path.write_text(''.join(f'{text}\n' for text in texts), encoding='utf-8')
    return path


def shown(found, batch_size=5):
    """Caption and file name of each image, as the model would see it."""
    captions = [found.captions[number] for number in found.of_image]
    paths = ['/'.join(Path(sample.img_path).parts[-2:]) for _, samples in found.batches(batch_size) for sample in samples]
    assert len(paths) == len(captions)
    return list(zip(captions, paths))


def test_class_names_are_those_of_the_images(opened):
    found = captioned(opened())
    assert found.captions == ['a photo of a a', 'a photo of a b', 'a photo of a c']
    for caption, path in shown(found):
        assert caption == f'a photo of a {path[0]}'
    assert Counter(found.of_image) == {0: 4, 1: 4, 2: 4}


def test_fewer_images_keep_their_captions(opened, tmp_path):
    found = captioned(opened(), most=5, template='{}!')
    assert [caption for caption, _ in shown(found)] == [f'{path[0]}!' for _, path in shown(found)] and len(shown(found)) == 5
    path = lines(tmp_path / 'captions.txt', *(f'{name} {number}.png' for name in 'abc' for number in range(4)))
    for caption, image in shown(captioned(opened(), path, most=5)):
        assert caption == image.replace('/', ' ')


def test_labels_that_are_random_do_not_count(opened):
    for caption, path in shown(captioned(opened(), split='train')):
        assert caption.endswith(path[0])
    run = opened()
    loader = run.cfg.train_dataloader
    loader.dataset.pipeline.pop(1)  # the transform that draws labels
    loader.dataset = dict(type='lbbt_mm.RandomLabelDataset', seed=0, draw='permute', dataset=loader.pop('dataset'))
    labels = [int(sample.gt_label) for _, samples in run.images('train', 100, 100) for sample in samples]
    found = captioned(run, split='train')
    assert found.of_image == [0] * 4 + [1] * 4 + [2] * 4 != labels


def test_names_of_classes_from_a_file(opened, tmp_path):
    names = lines(tmp_path / 'names.txt', 'red_cat', 'dog', 'bird')
    assert captioned(opened(), class_names=names, template='{} {}').captions == ['red cat red cat', 'dog dog', 'bird bird']
    with pytest.raises(ValueError, match='has an image with the label 2; expected one of 2 classes'):
        captioned(opened(), class_names=lines(tmp_path / 'names.txt', 'cat', 'dog'))


def test_classes_that_are_called_by_numbers(opened, tmp_path):
    run = opened(["test_dataloader.dataset.metainfo.classes=['n01440764','n01443537','n01484850']"])
    with pytest.raises(ValueError, match='run: the test split: .* calls its classes n01440764, ...: numbers, .*'
                       '--class-names FILE gives others'):
        captioned(run)
    with pytest.raises(ValueError, match='names.txt: calls its classes 0, ...: numbers'):
        captioned(run, class_names=lines(tmp_path / 'names.txt', *map(str, range(11))))


def test_digits_may_be_called_so(opened):
    run = opened(["test_dataloader.dataset.metainfo.classes=['0','1','2']"])
    assert captioned(run).captions == ['a photo of a 0', 'a photo of a 1', 'a photo of a 2']


@pytest.mark.parametrize('options, message', [
    (['test_dataloader.dataset.with_label=False'], 'the test split names no classes'),
    (['test_dataloader.dataset.data_root=/nowhere/at/all'], 'its data set is not there')])
def test_data_sets_without_classes(opened, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        captioned(opened(options))


@pytest.mark.parametrize('count', [11, 13])
def test_captions_and_images_of_different_number(opened, tmp_path, count):
    path = lines(tmp_path / 'captions.txt', *(f'image {number}' for number in range(count)))
    with pytest.raises(ValueError, match=f'captions.txt: {count} captions, and the test split of run has 12 images'):
        captioned(opened(), path, most=5)


@pytest.mark.parametrize('content, message', [
    ('a\n\nb\n', 'line 2 is empty'), ('', 'line 1 is empty'), (b'\xff\xfe\x00', 'is no text in UTF-8')])
def test_files_that_are_no_lines_of_text(opened, tmp_path, content, message):
    path = tmp_path / 'captions.txt'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        captioned(opened(), path)


def pairs_file(root, kind, rows):
    path = root / f'pairs.{kind}'
    if kind == 'csv':
        quoted = [','.join('"{}"'.format(value.replace('"', '""')) for value in row) for row in rows]
        path.write_text('\n'.join(['image,caption', *quoted]), encoding='utf-8-sig')
    else:
        path.write_text('\n'.join(json.dumps(dict(caption=caption, image=image, more=1)) for image, caption in rows))
    return path


@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
def test_images_with_captions_in_a_file(opened, tmp_path, kind):
    """They go through the run's own pipeline; the same image may come twice."""
    run, images = opened(), tmp_path / 'images' / 'test'
    rows = [('b/3.png', 'a bird, grün'), ('a/0.png', 'a "cat"'), ('b/3.png', 'a bird, grün'), ('c/1.png', 'a dog')]
    path = pairs_file(images, kind, rows)
    found = captioned(run, path)
    assert shown(found, 3) == [(caption, image) for image, caption in rows] and found.of_image == [0, 1, 0, 2]
    own = {'/'.join(Path(sample.img_path).parts[-2:]): image
           for batch, samples in run.images('test', 100, 100) for image, sample in zip(batch, samples)}
    loaded = [image for batch, _ in found.batches(3) for image in batch]
    assert all(torch.equal(image, own[name]) for image, (name, _) in zip(loaded, rows))
    assert [image for _, image in shown(captioned(run, path, most=2))] == ['b/3.png', 'b/3.png'], 'evenly spaced'


def test_images_that_are_not_there(opened, tmp_path):
    path = pairs_file(tmp_path / 'images' / 'test', 'csv', [('a/0.png', 'a cat'), ('a/9.png', 'a dog')])
    with pytest.raises(FileNotFoundError, match=r'the image \S+/test/a/9.png is not there. Paths are relative'):
        captioned(opened(), path)


def test_a_pipeline_that_loads_no_files(opened, tmp_path):
    run = opened()
    run.cfg.test_dataloader.dataset.pipeline.pop(0)
    with pytest.raises(ValueError, match='run: the pipeline of its test split loads no image files'):
        captioned(run, pairs_file(tmp_path / 'images' / 'test', 'csv', [('a/0.png', 'a cat')]))


@pytest.mark.parametrize('name, content, message', [
    ('a.csv', 'image,text\na.png,a cat\n', 'row 1 has no caption; expected image and caption in each'),
    ('a.csv', 'image,caption\na.png,a cat\n,a dog\n', 'row 2 has no image'),
    ('a.csv', 'image,caption\n', 'has no rows'), ('a.csv', 'image,caption\na.png,"a\n', 'cannot be read'),
    ('a.jsonl', '{"image": "a.png", "caption": "a"}\n{"image"', 'cannot be read'),
    ('a.jsonl', '["a.png", "a cat"]\n', 'row 1 has no image'),
    ('a.jsonl', '{"image": "a.png", "caption": null}\n', 'row 1 has no caption')])
def test_files_that_are_no_pairs(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f'{name}: {message}'):
        read_pairs(tmp_path / name)
