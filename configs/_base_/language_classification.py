# An image classifier of language-model blocks, without data and schedule. What depends on the language model is None, and
# language.arm is said by the configs that start from it: a probe starts from a bridge
_base_ = 'mmpretrain::_base_/default_runtime.py'
model = dict(
    type='lbbt_mm.LanguageClassifier',
    backbone=dict(
        type='lbbt_mm.LLMBackbone',
        img_size=224,
        patch_size=16,
        out_type='avg_featmap',
        attention='bidirectional',
        position='learned',
        final_norm='new',
        language=dict(blocks=None)),
    head=dict(
        type='LinearClsHead',
        num_classes=None,
        in_channels=None,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, ),
        cal_acc=True))

# One seed that makes the run, and the language model's config in its records
randomness = dict(seed=0)
custom_hooks = [dict(type='lbbt_mm.SeedingHook'), dict(type='lbbt_mm.LanguageConfigHook')]
