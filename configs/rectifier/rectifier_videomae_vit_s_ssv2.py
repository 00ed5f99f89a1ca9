# videomae_vit_s_ssv2.py with auxiliary training through the last block of LLaMA-7B (+AUX); inference is the plain model
_base_ = ['./videomae_vit_s_ssv2.py', '../_base_/language/llama_7b.py']
model = dict(
    type='lbbt_mm.RectifiedRecognizer',
    insert_after='last',
    path='auxiliary',
    rectifier=dict(
        type='lbbt_mm.LanguageRectifier',
        dtype='bfloat16',
        saves_blocks=False,
        language=dict(**_base_.language, blocks=-1, arm='language', seed=0)))
custom_hooks = [*_base_.custom_hooks, dict(type='lbbt_mm.AuxiliaryWeightHook', initial=0.35, floor=0.1)]
