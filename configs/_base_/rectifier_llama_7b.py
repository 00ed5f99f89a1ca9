# What rectified models have in common, as named values: the last block of LLaMA-7B, frozen, on an auxiliary path, and the
# weight of that path's loss
_base_ = './language/llama_7b.py'
rectified_model = dict(
    type='lbbt_mm.RectifiedClassifier',
    insert_after='last',
    path='auxiliary',
    rectifier=dict(
        type='lbbt_mm.LanguageRectifier',
        dtype='bfloat16',
        saves_blocks=False,
        language=dict(**_base_.language, blocks=-1, arm='language', seed=0)))
auxiliary_weight = dict(type='lbbt_mm.AuxiliaryWeightHook', initial=0.35, floor=0.1)
