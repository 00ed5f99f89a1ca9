"""An error in a pipeline names the file, in this process and from a data worker."""
from types import SimpleNamespace

import pytest
from mmengine.dataset import BaseDataset, Compose, ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from lbbt_mm.engine.hooks import NamedFilesHook
from lbbt_mm.engine.hooks.named_files_hook import LoadingError


def decode(data):
    if data['img_path'].endswith('bad.jpg'):
        raise ValueError('buffer is\n empty')
    return None if data['img_path'].endswith('none.jpg') else data


class Files(BaseDataset):
    """Samples that are a file each."""

    def __init__(self, *names, keep=True, **more):
        self.names, self.more = names, more
        super().__init__(pipeline=[decode] if keep else [lambda data: data['missing']], max_refetch=0)

    def load_data_list(self):
        return [dict(img_path=name, **self.more) if name else {} for name in self.names]


def named(dataset, workers=0):
    loader = DataLoader(dataset, num_workers=workers, collate_fn=list)
    before_run(train=loader)
    return loader


def before_run(**loaders):
    """Show the hook a runner with loops of these data loaders; others are not built, or not asked for."""
    loops = dict(_train_loop=None, _val_loop={}, _test_loop=None)
    loops.update({f'_{phase}_loop': SimpleNamespace(dataloader=loader) for phase, loader in loaders.items()})
    NamedFilesHook().before_run(SimpleNamespace(**loops))


@pytest.mark.parametrize('workers', (0, 1))
@pytest.mark.parametrize('wrap', (lambda x: x, lambda x: RepeatDataset(x, 2), lambda x: ConcatDataset([Files('a.jpg'), x])))
def test_the_file_and_the_transform_are_named(wrap, workers):
    loader = named(wrap(Files('a.jpg', 'x/bad.jpg')), workers)
    with pytest.raises(LoadingError, match='x/bad.jpg: function failed on it: ValueError: buffer is empty. Replace'):
        list(loader)


def test_a_mask_is_named_beside_its_image():
    with pytest.raises(LoadingError, match='bad.jpg with masks/1.png: function failed on it'):
        list(named(Files('bad.jpg', seg_map_path='masks/1.png')))


def test_what_has_no_file_is_left_as_it_is():
    with pytest.raises(KeyError, match='missing'):
        list(named(Files('', keep=False)))


def test_samples_are_what_they_were_and_none_is_asked_for_again():
    dataset = Files('a.jpg', 'b.jpg')
    plain = [dataset[index] for index in range(2)]
    assert [sample for batch in named(dataset) for sample in batch] == plain
    assert isinstance(dataset.pipeline, Compose) and dataset.pipeline.transforms == [decode]
    with pytest.raises(Exception, match='Cannot find valid image'):
        list(named(Files('none.jpg')))


def test_validation_and_test_alone():
    for phase in ('val', 'test'):
        loader = DataLoader(Files('bad.jpg'), collate_fn=list)
        before_run(**{phase: loader})
        with pytest.raises(LoadingError):
            list(loader)
