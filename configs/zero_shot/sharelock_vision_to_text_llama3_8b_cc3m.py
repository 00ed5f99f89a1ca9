# sharelock_llama3_8b_cc3m.py the other way round: images are mapped to the language model's width, texts stay as they are
_base_ = './sharelock_llama3_8b_cc3m.py'
model = dict(text_projection=None, vision_projection=dict(**_base_.mlp, in_channels=1024, out_channels=4096))
