"""What of a run's folder is ours: nothing else is removed when a run starts afresh, and nothing else overwritten."""
import json

import pytest

from lbbt_mm.runs.run_folder import (OtherRunError, nested_runs, read_request, refuse_stray_run, remove_checkpoints,
                                     remove_run, written_files)

REQUEST = json.dumps(dict(id='a', config=dict(model=1), options=[]))
DUMP = "launcher = 'none'\nwork_dir = 'run'\n"
#: What mmengine and TrainingRun leave in a run's folder
OURS = ('epoch_1.pth', 'epoch_12.pth', 'iter_400.pth', 'best_coco_bbox_mAP_epoch_3.pth', 'best_mIoU_iter_40.pth',
        'epoch_12-0a1b2c3d.pth', 'run_id.json', 'last_checkpoint', 'done', 'failed', 'train.log', 'request.json', 'run.py',
        'request.json.123.lbbt_mm.part', 'epoch_1.pth.123.lbbt_mm.part', 'last_checkpoint.4.lbbt_mm.part',
        '20250101_123456/20250101_123456.log',
        '20250101_123456/20250101_123456_host_device0_rank1.log', '20250101_123456/vis_data/scalars.json',
        '20250101_123456/vis_data/20250101_123456.json', '20250101_123456/vis_data/config.py',
        '20250101_123456/vis_data/vis_image/a_0.png', '20250101_123456.py', 'attempt0/vis_data/scalars.json')
THEIRS = ('notes.txt', 'my.pth', 'epoch_1.pth.bak', 'epoch_one.pth', 'best.pth', 'best_model.pth', 'xepoch_1.pth',
          'figure.png', 'results/epoch_1.pth', 'best_of/mine_epoch_1.pth', 'results/request.json', 'results/done',
          '20250101_123456/notes.txt', 'done.txt', 'config.py', '20250101/photo.jpg', '20250102_123456/photo.jpg',
          'vis_data/mine.json', 'attempt0/mine.txt', 'probes/notes.txt', 'old.log', 'mine.part', 'film.mkv.2.part',
          'mine.py', 'sub/run.py')


def fill(folder, names, text='x'):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text({'request.json': REQUEST, 'run.py': DUMP, 'train.log': '$ python train.py\n'}.get(path.name, text))


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file() or path.is_symlink()}


def test_all_that_runs_write_is_removed_and_nothing_else(tmp_path):
    fill(tmp_path, OURS)
    fill(tmp_path, THEIRS, 'mine')
    fill(tmp_path, ['lock', 'training.lock'])
    assert {path.relative_to(tmp_path).as_posix() for path in written_files(tmp_path)} == set(OURS)
    left = remove_run(tmp_path)
    assert names(tmp_path) == {*THEIRS, 'lock', 'training.lock'}
    assert [path.name for path in left] == sorted({name.split('/')[0] for name in THEIRS})


def test_a_folder_of_ours_alone_becomes_empty(tmp_path):
    fill(tmp_path, OURS)
    for empty in ('20250103_123456/vis_data/vis_image', '20250101_123456/vis_data/empty'):
        (tmp_path / empty).mkdir(parents=True)
    assert remove_run(tmp_path) == [] and list(tmp_path.iterdir()) == []


def test_an_empty_folder_of_somebody_else_stays(tmp_path):
    fill(tmp_path, ['request.json'])
    (tmp_path / 'plots').mkdir()
    assert remove_run(tmp_path) == [tmp_path / 'plots'] and (tmp_path / 'plots').is_dir()


def test_probes_go_by_the_same_rule(tmp_path):
    run = tmp_path / 'run'
    fill(run, [*OURS, 'lock'])
    fill(run / 'probes' / 'linear', [*OURS, 'notes.txt', 'lock'])
    fill(run / 'probes' / 'plain', [*OURS, 'lock'])
    fill(run / 'probes' / 'theirs', ['epoch_1.pth'])
    fill(run / 'probes' / 'other', ['epoch_1.pth'])
    (run / 'probes' / 'other' / 'request.json').write_text('{"url": "http://"}')
    fill(tmp_path / 'elsewhere', OURS)
    (run / 'probes' / 'linked').symlink_to(tmp_path / 'elsewhere')
    assert nested_runs(run) == [run / 'probes' / 'linear', run / 'probes' / 'plain']
    assert remove_run(run) == [run / 'probes']
    assert names(run) == {'lock', 'probes/linear/notes.txt', 'probes/linear/lock', 'probes/plain/lock', 'probes/linked',
                          'probes/theirs/epoch_1.pth', 'probes/other/epoch_1.pth', 'probes/other/request.json'}
    assert names(tmp_path / 'elsewhere') == set(OURS)


def test_links_are_removed_and_never_followed(tmp_path):
    run, elsewhere = tmp_path / 'run', tmp_path / 'elsewhere'
    fill(elsewhere, ['epoch_1.pth', '20250101_123456/vis_data/scalars.json', 'vis_data/scalars.json'])
    before = names(elsewhere)
    fill(run, ['request.json'])
    (run / 'epoch_1.pth').symlink_to(elsewhere / 'epoch_1.pth')
    (run / 'last_checkpoint').symlink_to(elsewhere / 'gone')
    (run / '20250101_123456').symlink_to(elsewhere / '20250101_123456')
    (run / 'epoch_2.pth').symlink_to(elsewhere)
    assert remove_run(run) == [run / '20250101_123456'] and names(elsewhere) == before
    assert [path.name for path in run.iterdir()] == ['20250101_123456']


def test_a_checkpoint_in_shards_is_a_folder(tmp_path):
    fill(tmp_path, ['request.json', 'epoch_1.pth/rank0.pt', 'sub/epoch_1.pth/rank0.pt'])
    assert remove_run(tmp_path) == [tmp_path / 'sub'] and names(tmp_path) == {'sub/epoch_1.pth/rank0.pt'}


def test_checkpoints_with_names_of_their_own_are_removed_too(tmp_path):
    """A new run of that config would go on from them."""
    request = dict(id='a', options=[], config=dict(default_hooks=dict(checkpoint=dict(filename_tmpl='m_{}.pth'))))
    fill(tmp_path, ['m_3.pth', 'best_score_m_3.pth', 'm_3-0a1b2c3d.pth', 'sub/m_3.pth', 'm_x.pth', 'epoch_3.pth'])
    (tmp_path / 'request.json').write_text(json.dumps(request))
    (tmp_path / 'm_4.pth').mkdir()
    assert [path.name for path in remove_run(tmp_path)] == ['epoch_3.pth', 'm_x.pth', 'sub']
    assert names(tmp_path) == {'epoch_3.pth', 'm_x.pth', 'sub/m_3.pth'}


def test_in_a_folder_elsewhere_all_that_bear_a_checkpoint_s_name_and_the_mark(tmp_path):
    fill(tmp_path, ['epoch_3.pth', 'best_score_epoch_3.pth', 'mine.pth', 'checkpoint_owner.json', 'training.lock', 'notes'])
    fill(tmp_path, ['epoch_4.pth/shard'])
    remove_checkpoints(tmp_path, {})
    assert names(tmp_path) == {'mine.pth', 'training.lock', 'notes'}
    remove_checkpoints(tmp_path / 'none', {})


def test_a_log_of_somebody_else_stays(tmp_path):
    fill(tmp_path, ['request.json'])
    (tmp_path / 'train.log').write_text('my notes')
    assert remove_run(tmp_path) == [tmp_path / 'train.log']


def test_what_says_that_it_is_whole_goes_first_and_what_says_that_it_is_ours_last(tmp_path, monkeypatch):
    """A removal that is cut off leaves nothing that looks finished, and can be gone on with."""
    fill(tmp_path, OURS)
    gone, unlink = [], type(tmp_path).unlink
    monkeypatch.setattr(type(tmp_path), 'unlink', lambda path: gone.append(path.name) or unlink(path))
    remove_run(tmp_path)
    assert set(gone[:2]) == {'done', 'last_checkpoint'} and gone[-1] == 'request.json'


@pytest.mark.parametrize('text', ('', '{}', '[]', '{"id": "a", "options": []}', '{"id": "a", "config": {}, "options": {}}',
                                  '{"id": 1, "config": {}, "options": []}', '\x00\xff', '[' * 100_000))
def test_a_request_that_is_not_ours_is_refused_in_one_line(text, tmp_path):
    assert read_request(tmp_path) is None and read_request(tmp_path / 'absent') is None
    (tmp_path / 'request.json').write_text(text)
    with pytest.raises(OtherRunError, match='request.json was not written by a run of lbbt_mm: expected id') as caught:
        read_request(tmp_path)
    assert '\n' not in str(caught.value)
    (tmp_path / 'request.json').write_text(REQUEST)
    assert read_request(tmp_path) == json.loads(REQUEST)


def test_nor_is_a_link_to_nothing_one(tmp_path):
    (tmp_path / 'request.json').symlink_to(tmp_path / 'gone')
    with pytest.raises(OtherRunError):
        read_request(tmp_path)


@pytest.mark.parametrize('name', ('done', 'failed', 'last_checkpoint', 'epoch_4.pth', 'best_acc_iter_3.pth',
                                  '20250101_123456/vis_data/scalars.json', 'attempt0/vis_data/scalars.json'))
def test_files_of_a_run_without_its_request_are_refused(name, tmp_path):
    refuse_stray_run(tmp_path / 'absent')
    fill(tmp_path, ['notes.txt', 'lock', 'request.json.12.lbbt_mm.part', 'run.py', 'train.log', 'data/images/a.png'])
    refuse_stray_run(tmp_path)
    fill(tmp_path, [name])
    with pytest.raises(OtherRunError, match=f'holds a run without request.json .{name}., so what it trained is not known'):
        refuse_stray_run(tmp_path)
