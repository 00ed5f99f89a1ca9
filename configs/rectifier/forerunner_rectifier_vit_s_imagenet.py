# The forerunner's ViT-S with the last block of LLaMA-7B in training and inference (80.7); its Table of OPT sizes, and the
# rectifier paper's Table 2: model.rectifier.language.checkpoint=facebook/opt-1.3b model.rectifier.language.config=None
_base_ = ['./forerunner_vit_s_imagenet.py', '../_base_/language/llama_7b.py']
model = dict(
    type='lbbt_mm.RectifiedClassifier',
    insert_after='last',
    path='inserted',
    rectifier=dict(
        type='lbbt_mm.LanguageRectifier',
        dtype='bfloat16',
        saves_blocks=False,
        language=dict(**_base_.language, blocks=-1, arm='language', seed=0)))
