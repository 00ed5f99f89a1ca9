"""Where data sets are in a config, and which of their samples are used."""
import pytest
from mmengine.config import Config

from lbbt_mm.checks.datasets import chosen, class_of, find_datasets, find_evaluators, is_a, is_remote


@pytest.mark.parametrize('config, remote', [
    (dict(data_root='s3://bucket/data'), True), (dict(ann_file='https://host/a.json', data_root='data'), True),
    (dict(data_prefix=dict(img='gs://bucket/images')), True), (dict(data_prefix='s3://bucket/'), True),
    (dict(data_root='data', backend_args=dict(backend='petrel', path_mapping={})), True),
    (dict(data_root='data', backend_args=dict(backend='local')), False), (dict(data_root='data', backend_args=None), False),
    (dict(data_root='/data', ann_file='a.json', data_prefix=dict(img='images/')), False), (dict(), False)])
def test_files_are_remote_by_their_address_or_their_backend(config, remote):
    assert is_remote(config) is remote


def test_data_sets_inside_wrappers_and_concatenations():
    inner = dict(type='X', pipeline=[dict(type='Mix', dataset=dict(type='no data set of a loader'))])
    cfg = Config(dict(a_dataloader=dict(dataset=dict(type='Repeat', dataset=dict(type='Concat', datasets=[inner, inner]))),
                      val_cfg=dict(train_dataloader=dict(dataset=inner)), b_dataloader='built', c_dataloader=None))
    loaders = ['a_dataloader', 'val_cfg.train_dataloader', 'b_dataloader', 'c_dataloader', 'd_dataloader']
    found = list(find_datasets(cfg, loaders))
    assert [one.where for one in found] == [
        'a_dataloader.dataset.dataset.datasets.0', 'a_dataloader.dataset.dataset.datasets.1',
        'val_cfg.train_dataloader.dataset']
    assert [one.wrappers for one in found] == [('Repeat', 'Concat'), ('Repeat', 'Concat'), ()]
    assert all(one.config == inner for one in found) and found[0].loader == 'a_dataloader'


def test_one_evaluator_or_several():
    cfg = Config(dict(val_evaluator=dict(type='A'), test_evaluator=[dict(type='B'), 'built', dict(type='C')]))
    assert [key for key, _ in find_evaluators(cfg, 'val_dataloader')] == ['val_evaluator']
    assert [key for key, _ in find_evaluators(cfg, 'test_dataloader')] == ['test_evaluator.0', 'test_evaluator.2']
    assert not list(find_evaluators(cfg, 'train_dataloader'))


@pytest.mark.parametrize('indices, expected', [(None, 'abcd'), (2, 'ab'), (-1, 'd'), ([3, 0, -2], 'dac'), (9, 'abcd')])
def test_samples_that_indices_leave(indices, expected):
    found, = find_datasets(Config(dict(x=dict(dataset=dict(type='X', indices=indices)))), ['x'])
    assert ''.join(chosen('abcd', found)) == expected


@pytest.mark.parametrize('indices', [[99], [0, -5]])
def test_samples_that_are_not_there(indices):
    found, = find_datasets(Config(dict(x=dict(dataset=dict(type='X', indices=indices)))), ['x'])
    with pytest.raises(ValueError, match=f'x.dataset.indices: holds {indices[-1]}, and there are 4 samples; .* 0 to 3'):
        chosen('abcd', found)


@pytest.mark.parametrize('kind, scope, name', [
    ('ADE20KDataset', 'mmseg', 'ADE20KDataset'), ('mmdet.LVISV1Dataset', 'mmseg', 'LVISV1Dataset'),
    ('ADE20KDataset', 'mmpretrain', None), ('Nonsense', 'mmdet', None), ('CocoDataset', 'no_scope', None),
    (None, 'mmdet', None)])
def test_the_class_that_a_type_means(kind, scope, name):
    found = class_of(kind, scope)
    assert getattr(found, '__name__', None) == name and class_of(found, None) is found
    assert is_a(dict(type=kind), 'BaseSegDataset', scope) == (name == 'ADE20KDataset')
