# deit_s_bar.py with auxiliary training through the last block of LLaMA-7B (+AUX); inference is the plain model
_base_ = ['./deit_s_bar.py', '../_base_/rectifier_llama_7b.py']
model = _base_.rectified_model
custom_hooks = [*_base_.custom_hooks, _base_.auxiliary_weight]
