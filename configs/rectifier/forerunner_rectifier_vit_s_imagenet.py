# The forerunner's ViT-S with the last block of LLaMA-7B in training and inference (80.7); its Table of OPT sizes, and the
# rectifier paper's Table 2: model.rectifier.language.checkpoint=facebook/opt-1.3b model.rectifier.language.config=None
_base_ = ['./forerunner_vit_s_imagenet.py', '../_base_/rectifier_llama_7b.py']
model = dict(_base_.rectified_model, path='inserted')
