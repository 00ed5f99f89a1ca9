# sharelock_llama3_8b_cc3m.py with a projection on both sides, which meet at the images' width
_base_ = './sharelock_llama3_8b_cc3m.py'
model = dict(vision_projection=dict(**_base_.mlp, in_channels=1024, out_channels=1024))
