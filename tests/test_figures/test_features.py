"""Features of a stage, and true labels, whatever the labels of training."""
import shutil

import pytest
import torch
from torch import nn

from lbbt_mm.figures.features import part_name, read_features, true_labels
from lbbt_mm.figures.preprocessing import preprocess
from lbbt_mm.figures.trained import OpenedRun, read_trained


def read(run, stage='pre_logits', split='test', **options):
    model = run.at_end()
    return (model, *read_features(run, model, split, 12, options.get('batch_size', 4), stage))


def inputs_of(run, model):
    images, samples = next(run.images('test', 12, 12))
    return preprocess(model, images, samples)['inputs']


@torch.no_grad()
def test_by_default_they_are_what_the_head_classifies(opened):
    run = opened()
    model, features, labels = read(run)
    seen = []
    model.head.fc.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(inputs_of(run, model), mode='tensor')
    assert torch.allclose(features, seen[0], atol=1e-5) and labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


@torch.no_grad()
@pytest.mark.parametrize('out_type, attention', [
    ('avg_featmap', 'bidirectional'), ('cls_token', 'bidirectional'), ('last_token', 'causal'),
    ('featmap', 'bidirectional')])
@pytest.mark.parametrize('number', (1, 3, -1))
def test_a_block_s_output_is_pooled_as_the_last_one_s(opened, out_type, attention, number):
    run = opened(out_type=out_type, attention=attention)
    model, features, _ = read(run, number)
    backbone = model.backbone
    tokens, _ = backbone.embed(inputs_of(run, model))
    for block in backbone.blocks[:number % 4 + 1]:
        tokens = block(tokens)
    norm = backbone.norm if number % 4 == 3 else nn.Identity()
    pooled = dict(avg_featmap=lambda: norm(tokens.mean(1)), cls_token=lambda: norm(tokens[:, 0]),
                  last_token=lambda: norm(tokens[:, -1]), featmap=lambda: norm(tokens).mean(1))[out_type]()
    assert torch.allclose(features, pooled, atol=1e-5) and features.shape == (12, 32)
    assert not any(block._forward_hooks for block in backbone.blocks)


def test_maps_and_tokens_become_one_vector_by_their_mean(opened):
    plain = read(opened(final_norm=None), 'backbone')[1]
    for out_type in ('featmap', 'raw'):
        assert torch.allclose(read(opened(out_type=out_type, final_norm=None), 'backbone')[1], plain, atol=1e-5)


def test_labels_of_training_images_are_the_true_ones(opened):
    run = opened()
    _, _, labels = read(run, split='train')
    random = torch.cat([torch.cat([sample.gt_label for sample in samples]) for _, samples in run.images('train', 12, 12)])
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 != random.tolist()


@pytest.mark.parametrize('options, split, message', [
    (['train_dataloader.dataset.pipeline.2.meta_keys=[img_path]'], 'train',
     'the train split has random labels; expected samples with a true_label'),
    (['test_dataloader.dataset.with_label=False'], 'test', 'the test split has samples without a label')])
def test_labels_that_are_not_there(opened, options, split, message):
    with pytest.raises(ValueError, match=message):
        read(opened(options), split=split)


def test_images_with_several_labels(opened):
    run = opened()
    samples = next(run.images('test', 2, 2))[1]
    samples[1].set_gt_label([0, 2])
    with pytest.raises(ValueError, match='the test split has samples with several labels; expected one each'):
        true_labels(run, 'test', samples)


@pytest.mark.parametrize('stage, message', [
    (4, '--stage 4: the backbone has 4 blocks; expected the number of one of its blocks'),
    (-5, '--stage -5: the backbone has 4 blocks'), (3, 'block 3 does not run, being behind the last of out_indices')])
def test_blocks_that_are_not_there_or_do_not_run(opened, stage, message):
    with pytest.raises(ValueError, match=message):
        read(opened(out_indices=1), stage)


@pytest.mark.parametrize('stage, message', [
    (0, 'the backbone is no lbbt_mm.LLMBackbone'), ('neck', 'Sequential has no head with pre_logits; expected an image')])
def test_models_without_such_a_stage(opened, stage, message):
    run = opened()
    model = nn.Sequential()
    model.data_preprocessor = run.at_end().data_preprocessor
    with pytest.raises(ValueError, match=message):
        read_features(run, model, 'test', 12, 4, stage)


def test_parts_of_different_runs_have_different_names(opened):
    one, other = opened(), opened(['randomness.seed=3'])
    assert part_name(one, 'end', start=False) == part_name(one, 'end', start=False)
    assert len({part_name(one, 'end', start=False), part_name(one, 'start', start=False),
                part_name(other, 'end', start=False)}) == 3


def test_parts_of_a_start_are_of_the_language_weights_that_it_is_made_of(trained, folders, tmp_path):
    shutil.copytree(folders['gpt2'], tmp_path / 'language')
    text, options = trained(), [f'model.backbone.language.checkpoint={tmp_path}/language']

    def names():
        run = OpenedRun(read_trained(text), options)
        return part_name(run, start=True), part_name(run, start=False)

    start, end = names()
    assert names() == (start, end)
    weights = tmp_path / 'language' / 'model.safetensors'
    weights.write_bytes(weights.read_bytes())
    assert names()[0] != start and names()[1] == end, 'the end is read from its own checkpoint alone'
