# videomae_vit_s_ssv2.py with auxiliary training through the last block of LLaMA-7B (+AUX); inference is the plain model
_base_ = ['./videomae_vit_s_ssv2.py', '../_base_/rectifier_llama_7b.py']
model = dict(_base_.rectified_model, type='lbbt_mm.RectifiedRecognizer')
custom_hooks = [*_base_.custom_hooks, _base_.auxiliary_weight]
