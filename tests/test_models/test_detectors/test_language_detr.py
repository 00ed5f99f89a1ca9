"""LanguageDETR: what is copied where, what follows from the language model, and that it behaves as mmdet's DETR."""
from copy import deepcopy
from pathlib import Path
from typing import Dict

import pytest
import torch
from mmdet.models.detectors import DETR
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import load_checkpoint
from safetensors.torch import load_file
from torch import Tensor, nn

from lbbt_mm.models.detectors import LanguageDETR
from tests.closeness import assert_close
from tests.tiny_checkpoints import CONFIGS
from tests.tiny_detection import batch_of, build_detector, run_config

FAMILIES = ('gpt2', 'llama', 'qwen3')
BLOCKS = ('encoder.layers.', 'decoder.layers.')
DEPTH = 4  # blocks in a row


def train_step(detector: nn.Module, *sizes) -> Dict[str, Tensor]:
    """One training step as a runner makes it: through ``forward``, which is where the overwrite guard looks."""
    wrapper = OptimWrapper(torch.optim.SGD(detector.parameters(), lr=0.01))
    return detector.train().train_step(batch_of(*(sizes or ((48, 64), (48, 64)))), wrapper)


def losses(detector: nn.Module, *sizes) -> Dict[str, Tensor]:
    data = detector.data_preprocessor(batch_of(*sizes), True)
    return detector.train()(**data, mode='loss')


def total(values: Dict[str, Tensor]) -> Tensor:
    return sum(value for name, value in values.items() if 'loss' in name)


@torch.no_grad()
def predict(detector: nn.Module, batch: Dict[str, list]) -> list:
    """Predictions as (scores, labels, boxes), sorted by score."""
    return [(s.pred_instances.scores, s.pred_instances.labels, s.pred_instances.bboxes)
            for s in detector.eval().test_step(deepcopy(batch))]


def expected_block(folder: Path, model_type: str, index: int) -> Dict[str, Tensor]:
    """A block's tensors by LanguageBlock name, spelt out here independently of ``lbbt_mm.language.families``."""
    tensors = load_file(folder / 'model.safetensors')
    prefix = f'transformer.h.{index}.' if model_type == 'gpt2' else f'model.layers.{index}.'
    t = {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if model_type == 'gpt2':
        block = {f'norm{i}.{part}': t[f'ln_{i}.{part}'] for i in (1, 2) for part in ('weight', 'bias')}
        for ours, theirs in (('attn.qkv', 'attn.c_attn'), ('attn.proj', 'attn.c_proj'), ('mlp.fc1', 'mlp.c_fc'),
                             ('mlp.fc2', 'mlp.c_proj')):
            block[f'{ours}.weight'], block[f'{ours}.bias'] = t[f'{theirs}.weight'].T, t[f'{theirs}.bias']
    else:
        block = {
            'norm1.weight': t['input_layernorm.weight'],
            'norm2.weight': t['post_attention_layernorm.weight'],
            'attn.qkv.weight': torch.cat([t[f'self_attn.{x}_proj.weight'] for x in 'qkv']),
            'attn.proj.weight': t['self_attn.o_proj.weight'],
            'mlp.fc1.weight': torch.cat([t['mlp.gate_proj.weight'], t['mlp.up_proj.weight']]),
            'mlp.fc2.weight': t['mlp.down_proj.weight']
        }
        if model_type == 'qwen3':
            block.update({f'attn.{x}_norm.weight': t[f'self_attn.{x}_norm.weight'] for x in 'qk'})
    return block


class TestCopiedWeights:

    @pytest.mark.parametrize('norm', ['pre', 'post'])
    @pytest.mark.parametrize('model_type', FAMILIES)
    def test_every_block_parameter_equals_the_checkpoint(self, folders, model_type, norm):
        detector = build_detector(
            model_type=model_type, model__norm=norm,
            language=dict(checkpoint=str(folders[model_type]), encoder_blocks='0:2', decoder_blocks=[3, -2]))
        detector.init_weights()
        for layers, blocks in ((detector.encoder.layers, (0, 1)), (detector.decoder.layers, (3, 2))):
            for layer, index in zip(layers, blocks):
                source = expected_block(folders[model_type], model_type, index)
                for name, parameter in layer.named_parameters():
                    # cross-attention starts from the same block's attention, its norm from the one before that
                    origin = name.replace('cross_attn.', 'attn.').replace('cross_norm.', 'norm1.')
                    assert torch.equal(parameter, source.pop(name, None) if origin == name else
                                       expected_block(folders[model_type], model_type, index)[origin]), name
                assert not source, 'every tensor of the block has a place'

    def test_both_stacks_have_parameters_of_their_own(self, folders):
        detector = build_detector(language=dict(checkpoint=str(folders['gpt2']), decoder_blocks='0:2'))
        detector.init_weights()
        encoder, decoder = detector.encoder.layers[0], detector.decoder.layers[0]
        assert torch.equal(encoder.attn.qkv.weight, decoder.cross_attn.qkv.weight)
        pointers = {encoder.attn.qkv.weight.data_ptr(), decoder.attn.qkv.weight.data_ptr(),
                    decoder.cross_attn.qkv.weight.data_ptr()}
        assert len(pointers) == 3

    def test_what_is_not_a_block_keeps_the_host_s_init(self, folders):
        language, host = (_initialised(folders['gpt2'], arm) for arm in ('language', 'host'))
        for (name, ours), (_, theirs) in zip(language.named_parameters(), host.named_parameters()):
            if not name.startswith(BLOCKS):
                assert torch.equal(ours, theirs), name
        assert torch.equal(language.encoder.final_norm.weight, torch.ones(32))
        assert torch.equal(language.decoder.post_norm.bias, torch.zeros(32))

    def test_language_weights_train(self, folders):
        detector = _initialised(folders['gpt2'], 'language')
        before = detector.encoder.layers[0].attn.qkv.weight.clone()
        train_step(detector)
        assert not torch.equal(detector.encoder.layers[0].attn.qkv.weight, before)

    @pytest.mark.parametrize('arm', ['random', 'shuffled', 'moment_matched'])
    def test_control_arms_reach_the_whole_detector_and_differ_from_language(self, folders, arm):
        language, control = (_initialised(folders['gpt2'], name) for name in ('language', arm))
        # what else draws random numbers, and how many, does not matter: `language.seed` decides
        again = _initialised(folders['gpt2'], arm, random_state=1)
        for name, parameter in control.named_parameters():
            if name.startswith(BLOCKS) and parameter.ndim == 2:
                assert not torch.equal(parameter, language.get_parameter(name)), name
                assert torch.equal(parameter, again.get_parameter(name)), name
        decoder = control.decoder.layers[0]
        assert torch.equal(decoder.attn.qkv.weight, decoder.cross_attn.qkv.weight)
        train_step(control)


class TestHostArm:

    def test_matrices_have_the_statistics_of_detr_s_xavier_init(self):
        detector = build_detector(language=dict(arm='host'))
        detector.init_weights()
        matrices = [(name, p) for coder in (detector.encoder, detector.decoder) for name, p in coder.named_parameters()
                    if p.ndim == 2]
        assert len(matrices) == 2 * 4 + 2 * 6
        for name, matrix in matrices:
            bound = (6 / sum(matrix.shape))**0.5
            assert 0.97 * bound < matrix.abs().max() <= bound, name
            assert float(matrix.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.05), name

    def test_it_is_the_init_of_mmdet_s_own_detr(self):
        """The fused qkv matrix is nn.MultiheadAttention's in_proj: the same shape, so the same Xavier bound."""
        ours = build_detector(language=dict(arm='host'))
        ours.init_weights()
        stock = _stock_detr()
        stock.init_weights()
        for part, theirs in ((ours.encoder.layers[0].attn.qkv, stock.encoder.layers[0].self_attn.attn.in_proj_weight),
                             (ours.encoder.layers[0].mlp.fc1, stock.encoder.layers[0].ffn.layers[0][0].weight)):
            assert part.weight.shape == theirs.shape
            assert float(part.weight.detach().std()) == pytest.approx(float(theirs.detach().std()), rel=0.05)
        assert not ours.encoder.layers[0].attn.qkv.bias.any()
        assert not ours.encoder.layers[0].attn.proj.bias.any()
        assert torch.equal(ours.encoder.layers[0].norm1.weight, torch.ones(32))

    def test_it_needs_no_checkpoint(self):
        detector = build_detector(language=dict(arm='host', checkpoint='nowhere/none'))
        detector.init_weights()
        train_step(detector)


class TestOverwriting:

    def test_a_pretrained_step_comes_instead_of_the_language_weights(self, folders, tmp_path):
        other = _initialised(folders['gpt2'], 'host')
        torch.save(dict(state_dict=other.state_dict()), tmp_path / 'other.pth')
        detector = build_detector(
            language=dict(checkpoint=str(folders['gpt2'])),
            model__init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'other.pth')))
        detector.init_weights()
        assert torch.equal(detector.encoder.layers[0].mlp.fc1.weight, other.encoder.layers[0].mlp.fc1.weight)
        train_step(detector)

    def test_a_subclass_that_fills_matrices_after_super_fails(self, folders):

        class Refilled(LanguageDETR):

            def init_weights(self):
                super().init_weights()
                for parameter in self.decoder.parameters():
                    if parameter.dim() > 1:
                        nn.init.xavier_uniform_(parameter)

        cfg = run_config(language=dict(checkpoint=str(folders['gpt2']))).model
        cfg.type = Refilled
        detector = MODELS.build(cfg)
        detector.init_weights()
        with pytest.raises(RuntimeError, match="'decoder.layers.0.attn.qkv.weight' no longer holds"):
            train_step(detector)

    def test_evaluation_does_not_use_the_check_up(self, folders):
        detector = _initialised(folders['gpt2'], 'language')
        predict(detector, batch_of((48, 64)))
        nn.init.zeros_(detector.encoder.layers[1].mlp.fc1.weight)
        with pytest.raises(RuntimeError, match='no longer holds'):
            train_step(detector)

    def test_an_init_that_overwrites_nothing_passes(self, folders, tmp_path):
        detector = build_detector(language=dict(checkpoint=str(folders['gpt2'])))
        backbone = {f'backbone.{name}': tensor for name, tensor in detector.backbone.state_dict().items()}
        torch.save(backbone, tmp_path / 'backbone.pth')
        detector = build_detector(
            language=dict(checkpoint=str(folders['gpt2'])),
            model__init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth')))
        detector.init_weights()
        assert torch.equal(detector.backbone.conv1.weight, backbone['backbone.conv1.weight'])
        train_step(detector)

    def test_weights_loaded_after_the_copy_are_a_wanted_change(self, folders, tmp_path):
        other = _initialised(folders['gpt2'], 'host')
        torch.save(dict(state_dict=other.state_dict()), tmp_path / 'other.pth')
        detector = _initialised(folders['gpt2'], 'language')
        load_checkpoint(detector, str(tmp_path / 'other.pth'))
        assert torch.equal(detector.encoder.layers[0].attn.qkv.weight, other.encoder.layers[0].attn.qkv.weight)
        train_step(detector)

    def test_a_copy_for_averaging_trains_and_is_not_watched(self, folders):
        detector = _initialised(folders['gpt2'], 'language')
        average = deepcopy(detector)
        nn.init.zeros_(average.encoder.layers[0].attn.qkv.weight)
        train_step(average)
        train_step(detector)


class TestWidths:

    @pytest.mark.parametrize('model_type', FAMILIES)
    def test_widths_that_are_none_follow_from_the_language_model(self, model_type):
        detector = build_detector(model_type=model_type, language=dict(arm='host'))
        assert detector.neck.convs[0].conv.out_channels == 32
        assert detector.positional_encoding.num_feats == 16
        assert detector.bbox_head.embed_dims == detector.embed_dims == 32
        assert detector.query_embedding.weight.shape == (10, 32)
        assert len(detector.encoder.layers) == len(detector.decoder.layers) == 2

    def test_the_config_is_not_changed_by_building(self):
        cfg = run_config(language=dict(arm='host')).model
        before = deepcopy(cfg)
        MODELS.build(cfg)
        before.bbox_head.loss_cls = cfg.bbox_head.loss_cls  # mmdet's own head rewrites this one
        assert cfg == before

    @pytest.mark.parametrize('key, value, expected', [('neck__out_channels', 256, 32), ('bbox_head__embed_dims', 256, 32),
                                                      ('positional_encoding__num_feats', 128, 16)])
    def test_a_width_that_contradicts_is_one_error_that_names_both(self, key, value, expected):
        name = key.replace('__', '.')
        with pytest.raises(ValueError) as error:
            build_detector(**{f'model__{key}': value})
        message = str(error.value)
        assert f'{name}={value} contradicts the language model gpt2 nowhere/none, which is 32 wide' in message
        assert f'; expected {expected}. Set it to None' in message

    def test_widths_that_agree_are_fine(self):
        build_detector(model__neck__out_channels=32, model__bbox_head__embed_dims=32,
                       model__positional_encoding__num_feats=16)

    def test_a_missing_positional_encoding_is_inferred(self):
        cfg = run_config().model
        del cfg['positional_encoding']
        assert MODELS.build(cfg).positional_encoding.num_feats == 16

    def test_a_width_that_sine_positions_cannot_have_is_an_error(self):
        with pytest.raises(ValueError, match='34 wide.*multiple of 4'):
            build_detector(language=dict(config=dict(model_type='gpt2', n_embd=34, n_head=2, n_layer=4)))


class TestDepth:

    @pytest.mark.parametrize('coder', ['encoder', 'decoder'])
    def test_more_layers_than_blocks_is_an_error(self, coder):
        with pytest.raises(ValueError, match=f'num_layers=6, but language.{coder}_blocks=.* gives 2 blocks') as error:
            build_detector(**{f'model__{coder}__num_layers': 6})
        assert "language.extra_layers='random'" in str(error.value)

    def test_fewer_layers_than_blocks_is_an_error(self):
        with pytest.raises(ValueError, match='num_layers=1.*gives 2 blocks.*select fewer blocks'):
            build_detector(model__encoder__num_layers=1)

    def test_extra_layers_start_at_random_and_are_listed(self, folders, log):
        detector = build_detector(
            language=dict(checkpoint=str(folders['gpt2']), extra_layers='random'), model__encoder__num_layers=3)
        detector.init_weights()
        source = expected_block(folders['gpt2'], 'gpt2', 1)
        assert torch.equal(detector.encoder.layers[1].attn.qkv.weight, source['attn.qkv.weight'])
        assert float(detector.encoder.layers[2].attn.qkv.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        report = next(message for message in log if 'LanguageInit: arm' in message)
        extra = next(line for line in report.split('\n') if 'encoder.layers.2' in line)
        assert 'extra layer' in extra and 'random' in extra and 'drawn' in extra
        train_step(detector)

    def test_blocks_out_of_range_name_how_many_there_are(self):
        with pytest.raises(ValueError, match='encoder_blocks=.*out of range.*has 4 blocks'):
            build_detector(language=dict(encoder_blocks='0:12'))

    def test_last_layer_only(self):
        cfg = run_config(model__decoder__return_intermediate=False).model
        names = set(losses(MODELS.build(cfg), (48, 64)))
        assert names == {'loss_cls', 'loss_bbox', 'loss_iou'}


class TestConfigErrors:

    def test_the_stock_layer_cfg_is_refused_with_the_remedy(self):
        cfg = run_config()
        cfg.model.encoder = dict(num_layers=2, layer_cfg=dict(self_attn_cfg=dict(embed_dims=256)))
        with pytest.raises(ValueError, match=r'encoder.layer_cfg is not an option.*encoder=dict\(_delete_=True\)'):
            MODELS.build(cfg.model)

    def test_inheriting_mmdet_s_detr_without_that_remedy_is_the_same_error(self, tmp_path):
        (tmp_path / 'mine.py').write_text(
            "_base_ = 'mmdet::detr/detr_r50_8xb2-150e_coco.py'\n"
            f"model = dict(type='lbbt_mm.LanguageDETR', language=dict(config={CONFIGS['gpt2']!r}))\n")
        with pytest.raises(ValueError, match='layer_cfg is not an option'):
            MODELS.build(Config.fromfile(tmp_path / 'mine.py').model)

    def test_more_detections_than_queries(self):
        with pytest.raises(ValueError, match='test_cfg.max_per_img=100 exceeds num_queries=10'):
            build_detector(model__test_cfg__max_per_img=100)

    def test_fit_is_not_offered(self):
        with pytest.raises(ValueError, match='language.fit is not an option here'):
            build_detector(language=dict(fit='project'))

    def test_an_unknown_key_of_language(self):
        with pytest.raises(ValueError, match='language.blocks is not an option here.*encoder_blocks'):
            build_detector(language=dict(blocks='0:2'))

    def test_an_unknown_norm_order(self):
        with pytest.raises(ValueError, match="norm='sandwich'.*'pre', 'post'"):
            build_detector(model__norm='sandwich')

    def test_checkpoint_and_config_that_disagree_fail_before_training(self, folders):
        detector = build_detector(
            language=dict(checkpoint=str(folders['gpt2']), config=dict(CONFIGS['gpt2'], n_head=8)))
        with pytest.raises(ValueError, match='disagree: num_heads 8 in the config, 4 in the checkpoint'):
            detector.init_weights()

    def test_a_language_model_that_is_nowhere_fails_before_training(self):
        detector = build_detector(language=dict(checkpoint='./nowhere/none'))
        with pytest.raises(ValueError, match='./nowhere/none: no such file or folder'):
            detector.init_weights()


class TestTraining:

    @pytest.mark.parametrize('norm', ['pre', 'post'])
    @pytest.mark.parametrize('model_type', FAMILIES)
    def test_every_parameter_gets_a_gradient(self, folders, model_type, norm):
        """None is what breaks DDP; a gradient of zero is what a dead layer has."""
        detector = build_detector(
            model_type=model_type, model__norm=norm, language=dict(checkpoint=str(folders[model_type])))
        detector.init_weights()
        total(losses(detector, (48, 64), (48, 64), (40, 56))).backward()
        grads = {name: parameter.grad for name, parameter in detector.named_parameters()}
        assert [name for name, grad in grads.items() if grad is None] == []
        dead = [name for name, grad in grads.items() if not grad.any()]
        # DETR's queries start at zero: the first decoder layer has no content yet that its norms could scale and, where
        # the language model has no biases either, none that self-attention could pass on.
        silent = ('norm1.weight', 'cross_norm.weight') + (() if model_type == 'gpt2' else ('attn.', ))
        assert all(name.startswith(tuple(f'decoder.layers.0.{part}' for part in silent)) for name in dead), dead

    @pytest.mark.parametrize('norm', ['pre', 'post'])
    def test_it_learns_one_batch(self, folders, norm):
        torch.manual_seed(0)
        detector = build_detector(model__norm=norm, language=dict(checkpoint=str(folders['gpt2'])))
        detector.init_weights()
        wrapper = OptimWrapper(torch.optim.AdamW(detector.parameters(), lr=2e-3), clip_grad=dict(max_norm=0.1))
        batch = batch_of((48, 64), (48, 64))
        history = [float(detector.train().train_step(deepcopy(batch), wrapper)['loss']) for _ in range(40)]
        assert history[-1] < 0.75 * history[0]

    def test_options_reach_every_layer_and_have_detr_s_defaults(self):
        cfg = run_config(language=dict(arm='host')).model
        for key in ('norm', 'attn_drop', 'proj_drop', 'drop_path_rate', 'with_cp'):
            cfg.pop(key, None)
        given = dict(norm='post', attn_drop=0.2, proj_drop=0.3, with_cp=True, attention_kernel='math')
        for options, expected in (({}, ('pre', 0., 0.1, False, 'auto')), (given, tuple(given.values()))):
            detector = MODELS.build({**deepcopy(cfg), **options})  # mmdet's head rewrites its config
            for layer in (*detector.encoder.layers, *detector.decoder.layers):
                attentions = [part for part in (layer.attn, layer.cross_attn) if part is not None]
                assert {(layer.norm, part.attn_drop, part.proj_drop.p, layer.with_cp, part.kernel)
                        for part in attentions} == {expected}
                assert layer.mlp.drop.p == expected[2] and isinstance(layer.drop_path, nn.Identity)

    def test_dropout_and_drop_path_act_in_training_only(self):
        detector = build_detector(language=dict(arm='host'), model__proj_drop=0.3, model__attn_drop=0.2,
                                  model__drop_path_rate=0.2)
        detector.init_weights()
        first, second = (losses(detector, (48, 64))['loss_bbox'] for _ in range(2))
        assert first != second
        batch = batch_of((48, 64))
        for (scores, *_), (again, *_) in zip(predict(detector, batch), predict(detector, batch)):
            assert torch.equal(scores, again)

    def test_checkpointed_activations_give_the_same_gradients(self):
        plain, recomputed = (build_detector(language=dict(arm='host'), model__with_cp=with_cp)
                             for with_cp in (False, True))
        plain.init_weights()
        recomputed.load_state_dict(plain.state_dict())
        for detector in (plain, recomputed):
            total(losses(detector, (48, 64), (40, 64))).backward()
        for (name, ours), (_, theirs) in zip(plain.named_parameters(), recomputed.named_parameters()):
            assert_close(ours.grad, theirs.grad, depth=2 * DEPTH, msg=name)

    @pytest.mark.parametrize('norm', ('pre', 'post'))
    @pytest.mark.parametrize('family', ('gpt2', 'llama'))
    def test_bfloat16_leaves_the_head_in_float32(self, folders, family, norm):
        detector = _initialised(folders[family], 'language', family, norm=norm)
        seen = []
        detector.bbox_head.fc_cls.register_forward_hook(lambda module, args, out: seen.extend([args[0].dtype, out.dtype]))
        with torch.autocast('cpu', dtype=torch.bfloat16):
            values = losses(detector, (48, 64), (40, 64))
        assert set(seen) == {torch.float32}
        plain = losses(detector, (48, 64), (40, 64))
        for name, value in values.items():
            assert value.item() == pytest.approx(plain[name].item(), rel=0.1), name

    @pytest.mark.slow
    def test_the_transformer_compiles(self):
        torch._dynamo.reset()
        detector = build_detector(language=dict(arm='host'))
        detector.init_weights()
        detector.eval()
        query, pos = torch.randn(2, 1, 12, 32)
        # 'aot_eager' traces forward and backward; the C++ compiler behind 'inductor' is torch's matter
        compiled = torch.compile(detector.encoder, backend='aot_eager', fullgraph=True)
        assert_close(compiled(query, pos), detector.encoder(query, pos), depth=2)


class TestInference:

    @pytest.mark.parametrize('norm', ['pre', 'post'])
    @pytest.mark.parametrize('model_type', FAMILIES)
    def test_a_batch_equals_its_images_one_by_one(self, model_type, norm):
        detector = build_detector(model_type=model_type, model__norm=norm, language=dict(arm='host'))
        detector.init_weights()
        batch = batch_of((48, 64), (48, 64), (48, 64))
        for index, together in enumerate(predict(detector, batch)):
            alone = predict(detector, {key: values[index:index + 1] for key, values in batch.items()})[0]
            for ours, theirs in zip(together, alone):
                assert_close(ours, theirs, depth=DEPTH)

    @pytest.mark.parametrize('norm', ['pre', 'post'])
    @pytest.mark.parametrize('model_type', FAMILIES)
    def test_the_transformer_does_not_see_padding(self, model_type, norm):
        """Features that are padded, with anything at all, give the hidden states of the features alone."""
        detector = build_detector(model_type=model_type, model__norm=norm, language=dict(arm='host'))
        detector.init_weights()
        detector.eval()
        alone = torch.randn(1, 32, 4, 5)
        padded = torch.full((2, 32, 6, 6), 7.)
        padded[0] = torch.randn(32, 6, 6)
        padded[1, :, :4, :5] = alone[0]
        samples = batch_of((96, 96), (64, 80))['data_samples']
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=(96, 96)))
        with torch.no_grad():
            together = detector.forward_transformer((padded, ), samples)['hidden_states']
            samples[1].set_metainfo(dict(batch_input_shape=(64, 80)))
            by_itself = detector.forward_transformer((alone, ), samples[1:])['hidden_states']
            junk = padded.clone()
            junk[1, :, 4:], junk[1, :, :, 5:] = -50., 50.
            samples[1].set_metainfo(dict(batch_input_shape=(96, 96)))
            with_junk = detector.forward_transformer((junk, ), samples)['hidden_states']
        assert together.shape == (2, 2, 10, 32)
        assert_close(together[:, 1:], by_itself, depth=4)
        assert torch.equal(together, with_junk)

    def test_a_batch_of_different_sizes_equals_its_images_on_the_same_canvas(self):
        detector = build_detector(language=dict(arm='host'))
        detector.init_weights()
        batch = batch_of((48, 64), (64, 40))
        together = predict(detector, batch)
        # a third image as large as the canvas makes each one padded as it was in the batch
        canvas = batch_of((64, 64))
        for index in range(2):
            pair = {key: [values[index], canvas[key][0]] for key, values in batch.items()}
            for ours, theirs in zip(together[index], predict(detector, pair)[0]):
                assert_close(ours, theirs, depth=DEPTH)

    def test_boxes_lie_in_the_image_in_its_own_pixels(self):
        detector = build_detector(language=dict(arm='host'))
        detector.init_weights()
        scores, labels, boxes = predict(detector, batch_of((48, 64)))[0]
        assert boxes.shape == (10, 4) and scores.shape == labels.shape == (10, )
        assert boxes.min() >= 0 and boxes[:, 2].max() <= 64 and boxes[:, 3].max() <= 48
        assert labels.max() < 3

    def test_a_state_dict_survives_the_round_trip(self, folders, tmp_path):
        trained = _initialised(folders['gpt2'], 'language')
        train_step(trained)
        torch.save(trained.state_dict(), tmp_path / 'trained.pth')
        rebuilt = build_detector(language=dict(checkpoint='gone/gone'))
        rebuilt.load_state_dict(torch.load(tmp_path / 'trained.pth', weights_only=True), strict=True)
        batch = batch_of((48, 64), (40, 64))
        for ours, theirs in zip(predict(trained, batch), predict(rebuilt, batch)):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs))

    def test_parameter_names_are_public(self):
        names = {name for name, _ in build_detector(language=dict(arm='host')).named_parameters()}
        assert {'encoder.layers.1.attn.qkv.weight', 'encoder.layers.0.mlp.fc2.bias', 'encoder.final_norm.weight',
                'decoder.layers.0.cross_attn.proj.weight', 'decoder.layers.1.cross_norm.bias',
                'decoder.post_norm.weight', 'query_embedding.weight'} <= names


def _initialised(folder: Path, arm: str, model_type: str = 'gpt2', random_state: int = 0, **options) -> nn.Module:
    torch.manual_seed(random_state)
    detector = build_detector(model_type=model_type, language=dict(checkpoint=str(folder), arm=arm), **options)
    detector.init_weights()
    return detector


def _stock_detr() -> DETR:
    """mmdet's own DETR at the tiny detector's sizes."""
    cfg = run_config(model__neck__out_channels=32, model__bbox_head__embed_dims=32,
                     model__positional_encoding__num_feats=16).model
    for key in ('language', 'norm', 'attn_drop', 'proj_drop', 'drop_path_rate', 'with_cp'):
        cfg.pop(key, None)
    attention = dict(embed_dims=32, num_heads=4, batch_first=True)
    ffn = dict(embed_dims=32, feedforward_channels=128)
    cfg.update(
        type='DETR',
        encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
        decoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn),
                     return_intermediate=True))
    return MODELS.build(cfg)
