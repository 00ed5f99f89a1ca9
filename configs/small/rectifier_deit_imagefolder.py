# Auxiliary training of deit_imagefolder.py through the last block of SmolLM2, frozen; inference is the plain DeiT-T.
# model.path='inserted' has the block in inference too
_base_ = ['./deit_imagefolder.py', '../_base_/language/smollm2_135m.py']
model = dict(
    type='lbbt_mm.RectifiedClassifier',
    insert_after='last',
    path='auxiliary',
    rectifier=dict(type='lbbt_mm.LanguageRectifier', language=dict(**_base_.language, blocks=-1, arm='language', seed=0)))
custom_hooks = [*_base_.custom_hooks, dict(type='lbbt_mm.AuxiliaryWeightHook', initial=0.35, floor=0.1)]
