"""Figures of runs of a detector and of a segmentor, as tools/train.py leaves them; their images are of different sizes."""
from pathlib import Path

import cv2
import pandas as pd
import pytest
import torch

from lbbt_mm.analysis.alignment import PatchMoments, align, eigenspaces, second_moment
from lbbt_mm.analysis.hessian_operator import HessianOperator
from lbbt_mm.figures import activation, alignment, curves, hessian, landscape, outliers, report, separability
from lbbt_mm.figures.canvas import Canvas
from lbbt_mm.figures.losses import FixedLoss, load_batches
from lbbt_mm.figures.trained import OpenedRun, read_trained
from lbbt_mm.files.checkpoint_files import load_checkpoint_safely
from lbbt_mm.models.blocks import measured_blocks
from tests import tiny_detection, tiny_segmentation
from tests.tool_processes import run_tool


def detector(data, **options):
    tiny_detection.write_dataset(data, num_train=4, num_val=4, sizes=[(64, 32), (32, 64)])
    return tiny_detection.run_config(
        data, **options, train_cfg__max_epochs=2,
        param_scheduler=[dict(type='ConstantLR', factor=1e-30, begin=0, end=2)])


def segmentor(data, **options):
    """Of its images some stand upright, and some are smaller than the crops that it trains on."""
    tiny_segmentation.write_dataset(data, num_train=4, num_val=4)
    for path in sorted([*data.glob('*/*/*1.???'), *data.glob('*/*/*3.???')]):
        cv2.imwrite(str(path), cv2.rotate(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.ROTATE_90_CLOCKWISE))
    load, annotations, resize, crop, *_, pack = tiny_segmentation.augmentation()
    test = [load, dict(type='Resize', scale=(64, 40), keep_ratio=True), annotations, pack]
    return tiny_segmentation.run_config(
        data, **options, train_cfg__max_iters=4, default_hooks__checkpoint__interval=2,
        train_dataloader__dataset__pipeline=[load, annotations, dict(resize, ratio_range=(0.4, 1.)), crop, pack],
        val_dataloader__dataset__pipeline=test, test_dataloader__dataset__pipeline=test,
        param_scheduler=[dict(type='ConstantLR', factor=1e-30, begin=0, end=3, by_epoch=False)])


@pytest.fixture(scope='module', params=[detector, segmentor], ids=lambda make: make.__name__)
def run(request, folders, tmp_path_factory) -> Path:
    """A run that stood still in its first half, and moved in its second."""
    folder, language = tmp_path_factory.mktemp(request.param.__name__), dict(checkpoint=str(folders['gpt2']), config=None)
    cfg = request.param(folder / 'data', language=language, randomness=dict(seed=3), train_dataloader__batch_size=2)
    cfg.dump(folder / 'run.py')
    done = run_tool('train.py', folder / 'run.py', '--work-dir', folder / 'work')
    assert done.returncode == 0, done.output
    return folder / 'work'


@pytest.fixture
def opened(run) -> OpenedRun:
    return OpenedRun(read_trained(str(run)))


@pytest.fixture
def no_files(monkeypatch):
    """Pictures are drawn, and not written, which takes as long as all else."""
    monkeypatch.setattr(Canvas, 'save', lambda *args: None)


def detects(run):
    return (run / 'epoch_2.pth').exists()


@torch.no_grad()
def loss_of(opened, model, most=4, batch_size=2):
    """The mean over batches of the loss, of images that are padded as in training."""
    losses = []
    for images, samples in opened.images('train', most, batch_size):
        batch = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
        losses.append(model.parse_losses(model(**batch, mode='loss'))[0])
    return float(sum(losses) / len(losses))


def test_the_start_is_the_run_s_own(run, opened):
    halfway = load_checkpoint_safely(run / ('epoch_1.pth' if detects(run) else 'iter_2.pth'))['state_dict']
    start, end = opened.at_start().state_dict(), opened.at_end().state_dict()
    torch.testing.assert_close(start, dict(halfway), rtol=0, atol=1e-25)
    moved = [name for name in start if not torch.equal(start[name], end[name])]
    assert len(moved) > 0.9 * len(start)


@pytest.mark.usefixtures('no_files')
def test_landscape(run, opened, figure):
    status, said, numbers = figure(landscape, f'a={run}', '--points', 3, '--alphas', 0, 1, '--batch-size', 2)
    assert status == 0 and 'index' not in said, said  # pycocotools says that it creates one
    losses = numbers.set_index(['alpha', 'beta']).loss
    assert losses[0., 0.] == pytest.approx(loss_of(opened, opened.at_start()), rel=1e-4)
    assert losses[1., 0.] == pytest.approx(loss_of(opened, opened.at_end()), rel=1e-4)
    assert losses.notna().all() and losses[1., 0.] != losses[0., 0.] != losses[0., 1.]


@pytest.mark.usefixtures('no_files')
def test_hessian(run, opened, figure):
    pytest.importorskip('curvlinops')
    few = ['--steps', 4, '--draws', 1, '--trace-draws', 1, '--leading', 3, '--noise-draws', 1, '--noise', 0.1, '--along',
           1e-3, '--max-samples', 2, '--batch-size', 1]
    status, said, numbers = figure(hessian, f'a={run}', *few, '--at', 'end')
    assert status == 0, said
    found = numbers[numbers.of.isna()].set_index('measure').value
    assert found['loss'] == pytest.approx(loss_of(opened, opened.at_end(), 2, 1), rel=1e-4)
    assert found['smallest eigenvalue'] < found['largest eigenvalue']


def test_products_with_the_hessian_are_differences_of_gradients(opened, monkeypatch):
    """In float64 and close by: a detector's loss has kinks, at which its gradient jumps."""
    monkeypatch.setattr(torch.Tensor, 'float', torch.Tensor.double)  # of a detector's head
    model = opened.at_end().double()
    batches = load_batches(opened, model, 'train', 2, 1)
    for _, batch in batches:
        batch['inputs'] = batch['inputs'].double()
        for boxes in (sample.gt_instances for sample in batch['data_samples'] if 'gt_instances' in sample):
            boxes.bboxes = boxes.bboxes.double()
    loss = FixedLoss(model, batches, twice=True)
    parameters = loss.used_parameters()
    along = {name: torch.randn_like(part) for name, part in parameters.items()}
    vector = torch.cat([part.flatten() for part in along.values()])
    product = HessianOperator(loss.terms, tuple(parameters.values())) @ vector
    gradients = []
    for length in (1e-7, -2e-7):
        for name, part in parameters.items():
            part.data += length * along[name]
        gradients.append(torch.cat([part.flatten() for part in loss.gradient(parameters).values()]))
    difference = (gradients[0] - gradients[1]) / 2e-7
    assert (product - difference).norm() < 1e-5 * product.norm()


@pytest.mark.usefixtures('no_files')
def test_activation(run, opened, figure):
    """A segmentor has no masks of padding: its images go through it by size."""
    status, said, numbers = figure(activation, f'a={run}', '--at', 'end', '--control', 'none')
    assert status == 0, said
    model = opened.at_end()
    blocks = measured_blocks(model)
    assert numbers.block.tolist() == [*blocks] and set(numbers.samples) == {4} and numbers.ratio.between(0, 1).all()
    if detects(run):
        return  # tests/test_figures/test_activation.py has the numbers
    seen = []
    [*blocks.values()][-1].mlp.fc2.register_forward_pre_hook(lambda module, args: seen.append(args[0].mean(dim=1) > 0))
    with torch.no_grad():
        for images, samples in opened.images('test', 4, 1):
            model(**model.data_preprocessor(dict(inputs=images, data_samples=samples)), mode='tensor')
    assert numbers.ratio.iloc[-1] == pytest.approx(float(torch.cat(seen).double().mean()))


@pytest.mark.usefixtures('no_files')
def test_alignment(run, opened, figure):
    """Patches are those of the images, without the padding beside them."""
    layer = 'backbone.conv1' if detects(run) else 'backbone.patch_embed.projection'
    status, said, numbers = figure(alignment, f'a={run}', '--networks', 0, '--layer', layer, '--rotations', 5)
    assert status == 0, said
    model = opened.at_end()
    convolution, processor = model.get_submodule(layer), model.data_preprocessor
    moments = PatchMoments(convolution.kernel_size, convolution.stride, convolution.padding)
    for (image, ), _ in opened.images('train', 4, 1):
        moments.add(((image.flip(0) - processor.mean) / processor.std)[None])
    spaces = eigenspaces(moments.covariance())
    start, end = (getattr(opened, f'at_{side}')().get_submodule(layer).weight.flatten(1) for side in ('start', 'end'))
    found = numbers.set_index(['at', 'what']).alignment
    for key, weights in ((('end', 'weights'), end), (('end', 'change'), end - start)):
        assert found[key] == pytest.approx(align(second_moment(weights), spaces, rotations=5).alignment, abs=1e-4), key


@pytest.mark.usefixtures('no_files')
def test_curves(run, figure):
    status, said, numbers = figure(curves, f'a={run}')
    assert status == 0, said
    assert {'loss', 'coco/bbox_mAP' if detects(run) else 'mIoU'} <= set(numbers.metric)


@pytest.mark.usefixtures('no_files')
def test_outliers_before_and_after(run, opened, figure, monkeypatch):
    monkeypatch.setattr(torch, 'set_num_threads', lambda number: None)  # of the tests' own process
    status, said, numbers = figure(outliers, f'a={run}', '--before')
    assert status == 0, said
    name = next(name for name in opened.at_start().state_dict() if name.endswith('mlp.fc1.weight'))
    largest = numbers[numbers.tensor == name].set_index('model').largest
    for model, side in (('a, start', opened.at_start()), ('a', opened.at_end())):
        assert largest[model] == pytest.approx(float(side.get_parameter(name).detach().abs().max()))


def test_separability_is_refused_before_models_are_made(run, figure, monkeypatch):
    for side in ('at_start', 'at_end'):
        monkeypatch.setattr(OpenedRun, side, lambda *args: pytest.fail('made'))
    status, said, numbers = figure(separability, f'a={run}')
    assert status == 2 and numbers is None
    assert said == (f'a: the test split has labels of {"boxes" if detects(run) else "pixels"}, and this figure tells apart '
                    'classes of images; expected one label for each image. Leave the run out, or give that of a '
                    'classifier.\n')


def test_the_report_has_gaps_with_reasons(run, figure, tmp_path):
    sections = ['curves', 'separability', *(['alignment'] if detects(run) else [])]
    status, said, _ = figure(report, f'a={run}', '--sections', *sections)
    assert status == 0, said
    page = (tmp_path / 'out' / 'report.html').read_text()
    gaps = page[page.index('What could not be made'):]
    assert 'and this figure tells apart classes of images' in gaps and page.count('<img') == 1
    assert ('--layer backbone.patch_embed.projection is no convolution of its model' in gaps) == detects(run)
    assert pd.read_csv(tmp_path / 'out' / 'report' / 'curves' / 'curves.csv').metric.nunique() > 2
