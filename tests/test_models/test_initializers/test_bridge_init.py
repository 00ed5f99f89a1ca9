"""BridgeInit: the backbone alone, strictly, from the checkpoint of a bridge."""
import pytest
import torch
from mmengine.registry import WEIGHT_INITIALIZERS as ROOT
from mmengine.runner import save_checkpoint
from torch import nn

from lbbt_mm.language import CheckpointError
from lbbt_mm.language.backbone_identity import IDENTITY_KEY, describe_backbone
from lbbt_mm.models.backbones import LLMBackbone
from lbbt_mm.models.initializers.bridge_init import BridgeInit


def backbone(folder, checkpoint=None, **options):
    language = dict(checkpoint=str(folder), blocks='0:2', arm='random', **options.pop('language', {}))
    init_cfg = dict(type='lbbt_mm.BridgeInit', checkpoint=str(checkpoint)) if checkpoint else None
    for name in {'allow_unknown', 'leave_out'} & set(options):
        init_cfg[name] = options.pop(name)
    return LLMBackbone(language, img_size=options.pop('img_size', 16), patch_size=4, init_cfg=init_cfg, **options)


class Holder(nn.Module):
    """A model with a backbone, as a runner saves it."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def write(path, bridged, meta=True, prefix='backbone.', drop=(), **more):
    """Write a checkpoint as a bridge run does: the backbone's tensors and a random-label head."""
    state = {prefix + name: tensor for name, tensor in bridged.state_dict().items() if name not in drop}
    state.update({'head.fc.weight': torch.ones(10, 32), **more})
    torch.save(dict(state_dict=state, meta={IDENTITY_KEY: describe_backbone(bridged)} if meta else {}), path)
    return path


@pytest.fixture
def bridged(folders):
    made = backbone(folders['gpt2'])
    made.init_weights()
    return made


def test_every_tensor_of_the_backbone_comes_along_and_the_head_stays(bridged, folders, tmp_path, log):
    path = write(tmp_path / 'bridge.pth', bridged)
    probe = backbone(folders['gpt2'], path)
    probe.init_weights()
    assert all(torch.equal(tensor, bridged.state_dict()[name]) for name, tensor in probe.state_dict().items())
    line = next(message for message in log if message.startswith('BridgeInit:'))
    assert f'{len(bridged.state_dict())} tensors' in line and '1 other tensors' in line and 'arm random' in line


def test_the_probe_says_which_arm_its_weights_started_from(bridged, folders, tmp_path):
    """A probe's config names the language model; the arm was the bridge's."""
    path = write(tmp_path / 'bridge.pth', bridged)
    language = dict(checkpoint=str(folders['gpt2']), blocks='0:2', arm='language', seed=5)
    probe = LLMBackbone(language, img_size=16, patch_size=4, init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=str(path)))
    probe.init_weights()
    assert describe_backbone(probe) == describe_backbone(bridged)
    assert probe.state_dict()._metadata[''][IDENTITY_KEY]['arm'] == 'random'


def test_a_bridge_whose_start_is_unknown_says_so(bridged, folders, tmp_path, log):
    bridged.load_state_dict(dict(bridged.state_dict()))
    probe = backbone(folders['gpt2'], write(tmp_path / 'bridge.pth', bridged))
    probe.init_weights()
    assert describe_backbone(probe)['arm'] is None
    assert any(line.startswith('BridgeInit:') and ', arm unknown of ' in line for line in log)


def test_no_language_weights_are_read(bridged, folders, tmp_path, monkeypatch):
    path = write(tmp_path / 'bridge.pth', bridged)
    monkeypatch.setattr('lbbt_mm.language.initializer.open_checkpoint', None)
    backbone(folders['gpt2'], path, language=dict(config=bridged.language.spec.config)).init_weights()


def test_parts_that_are_left_out_start_anew_and_all_else_comes_along(bridged, folders, tmp_path, log):
    path = write(tmp_path / 'bridge.pth', bridged)
    probe = backbone(folders['gpt2'], path, leave_out=['patch_embed'])
    torch.manual_seed(1)
    probe.init_weights()
    for name, tensor in probe.state_dict().items():
        anew = name == 'patch_embed.projection.weight'
        assert torch.equal(tensor, bridged.state_dict()[name]) != anew, name
    assert probe.patch_embed.projection.weight.std() > 0.01, 'as a ViT starts'
    assert any('; patch_embed start anew' in message for message in log)
    bare = backbone(folders['gpt2'], path, leave_out=['blocks'], language=dict(seed=3))
    bare.init_weights()
    assert describe_backbone(bare)['arm'] is None, 'its blocks are not those of the bridge, so it does not say so'
    with pytest.raises(CheckpointError, match='it lacks norm.weight'):
        backbone(folders['gpt2'], write(path, bridged, drop=['norm.weight']), leave_out=['patch_embed']).init_weights()
    with pytest.raises(ValueError, match="leave_out: the backbone has no 'patch_embd'; expected some of pos_embed, "):
        backbone(folders['gpt2'], path, leave_out='patch_embd').init_weights()


def test_it_is_registered_for_any_mm_project():
    assert ROOT.get('lbbt_mm.BridgeInit') is BridgeInit


def test_the_position_table_follows_the_image_size(bridged, folders, tmp_path):
    probe = backbone(folders['gpt2'], write(tmp_path / 'bridge.pth', bridged), img_size=32)
    probe.init_weights()
    assert probe.pos_embed.shape[1] == 64
    assert torch.equal(probe.blocks[1].attn.qkv.weight, bridged.blocks[1].attn.qkv.weight)


def test_a_language_model_of_another_name_is_refused_and_the_same_at_another_place_is_not(bridged, folders, tmp_path):
    """Two language models may have blocks of the same shape; a hub id and a folder may be the same one."""
    path = write(tmp_path / 'bridge.pth', bridged)
    config = bridged.language.spec.config

    def probe(checkpoint):
        return LLMBackbone(dict(checkpoint=checkpoint, config=config, blocks='0:2'), img_size=16, patch_size=4,
                           init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=str(path)))

    probe(f'owner/{folders["gpt2"].name}').init_weights()
    with pytest.raises(CheckpointError, match=r'this config names owner/other, another language model.*set the backbone'):
        probe('owner/other').init_weights()


def test_a_class_as_type_is_as_good_as_its_name(bridged, folders, tmp_path):
    path = write(tmp_path / 'bridge.pth', bridged)
    probe = LLMBackbone(dict(checkpoint=str(folders['gpt2']), blocks='0:2'), img_size=16, patch_size=4,
                        init_cfg=dict(type=BridgeInit, checkpoint=str(path)))
    assert len(probe.init_cfg) == 1, 'no LanguageInit after it'
    probe.init_weights()
    assert torch.equal(probe.blocks[1].mlp.fc1.weight, bridged.blocks[1].mlp.fc1.weight)


def test_the_weights_themselves_say_what_they_are_where_no_hook_wrote_meta(bridged, folders, tmp_path):
    save_checkpoint(dict(state_dict=Holder(bridged).state_dict(), meta={}), str(tmp_path / 'bridge.pth'))
    with pytest.raises(CheckpointError, match="attention 'causal' in the config, 'bidirectional' in the checkpoint"):
        backbone(folders['gpt2'], tmp_path / 'bridge.pth', attention='causal').init_weights()
    backbone(folders['gpt2'], tmp_path / 'bridge.pth').init_weights()


def test_a_checkpoint_that_says_nothing_is_judged_by_its_tensors(bridged, folders, tmp_path):
    path = write(tmp_path / 'bridge.pth', bridged, meta=False)
    with pytest.raises(CheckpointError, match='does not say what its backbone is .*allow_unknown=True'):
        backbone(folders['gpt2'], path).init_weights()
    for name in ('gpt2', 'llama'):
        probe = backbone(folders[name], path, allow_unknown=True)
        if name == 'gpt2':
            probe.init_weights()
        else:
            with pytest.raises(CheckpointError, match='it lacks|this model has no'):
                probe.init_weights()


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_of_a_bridge_that_diverged_are_refused(value, bridged, folders, tmp_path):
    with torch.no_grad():
        bridged.blocks[1].mlp.fc1.weight[3, 4] = value
    with pytest.raises(CheckpointError, match=': blocks.1.mlp.fc1.weight holds NaN or infinity.*diverged'):
        backbone(folders['gpt2'], write(tmp_path / 'bridge.pth', bridged)).init_weights()


def test_another_pooling_is_another_function_and_feature_maps_are_of_the_same(folders, tmp_path):
    made = backbone(folders['gpt2'], attention='causal', out_type='last_token')
    made.init_weights()
    path = write(tmp_path / 'bridge.pth', made)
    with pytest.raises(CheckpointError, match="out_type 'avg_featmap' in the config, 'last_token' in the checkpoint"):
        backbone(folders['gpt2'], path, attention='causal').init_weights()
    for out_type in ('last_token', 'featmap'):
        backbone(folders['gpt2'], path, attention='causal', out_type=out_type).init_weights()


def test_another_language_model_is_refused_by_name(bridged, folders, tmp_path):
    with pytest.raises(CheckpointError, match="than this config's: model_type 'llama' in the config, 'gpt2' in the"):
        backbone(folders['llama'], write(tmp_path / 'bridge.pth', bridged)).init_weights()


@pytest.mark.parametrize('options, message', (
    (dict(attention='causal'), r"attention 'causal' in the config, 'bidirectional' in the checkpoint"),
    (dict(position='language'), r"position 'language' in the config, 'learned' in the checkpoint"),
    (dict(language=dict(config=dict(model_type='gpt2', n_embd=64, n_head=4, n_layer=4))), r'embed_dims 64 in the config'),
))
def test_another_function_or_width_is_refused(bridged, folders, tmp_path, options, message):
    with pytest.raises(CheckpointError, match=message):
        backbone(folders['gpt2'], write(tmp_path / 'bridge.pth', bridged), **options).init_weights()


def test_other_blocks_are_refused(bridged, folders, tmp_path):
    path = write(tmp_path / 'bridge.pth', bridged)
    probe = LLMBackbone(dict(checkpoint=str(folders['gpt2']), blocks='1:3'), img_size=16, patch_size=4,
                        init_cfg=dict(type='lbbt_mm.BridgeInit', checkpoint=str(path)))
    with pytest.raises(CheckpointError, match=r'blocks \[1, 2\] in the config, \[0, 1\] in the checkpoint'):
        probe.init_weights()


@pytest.mark.parametrize('options, message', (
    (dict(drop=('norm.weight', )), r'it lacks norm.weight\. Give'),
    ({'backbone.extra': torch.ones(1)}, r'this model has no extra'),
    ({'backbone.norm.weight': torch.ones(3)}, r'norm.weight has shape \(3,\) there and \(32,\) in this model'),
    (dict(prefix='model.'), r'holds no tensor named backbone\.\*'),
))
def test_tensors_have_to_match_one_by_one(bridged, folders, tmp_path, options, message):
    before = backbone(folders['gpt2'], write(tmp_path / 'bridge.pth', bridged, **options))
    start = {name: tensor.clone() for name, tensor in before.state_dict().items() if name.startswith('norm')}
    with pytest.raises(CheckpointError, match=message):
        before.init_weights()
    assert all(torch.equal(before.state_dict()[name], tensor) for name, tensor in start.items())


def test_no_checkpoint_or_no_such_file_says_what_to_do(folders, tmp_path):
    with pytest.raises(CheckpointError, match=r'checkpoint=None.*tools/lbbt.py CONFIG --probe'):
        BridgeInit()(backbone(folders['gpt2']))
    with pytest.raises(CheckpointError, match=r'no such checkpoint file.*bridge run, which has to run first'):
        BridgeInit(str(tmp_path / 'nothing.pth'))(backbone(folders['gpt2']))


def test_code_in_a_checkpoint_is_never_run(folders, tmp_path):

    class Harmful:

        def __reduce__(self):
            return open, (str(tmp_path / 'ran'), 'w')

    torch.save(dict(state_dict={}, harm=Harmful()), tmp_path / 'bad.pth')
    with pytest.raises(CheckpointError, match='holds more than tensors'):
        BridgeInit(str(tmp_path / 'bad.pth'))(backbone(folders['gpt2']))
    assert not (tmp_path / 'ran').exists()


def test_a_file_that_is_no_training_checkpoint_is_refused(folders, tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='holds a list; expected named tensors'):
        BridgeInit(str(tmp_path / 'list.pth'))(backbone(folders['gpt2']))
