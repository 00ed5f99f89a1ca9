# Table 9 at the original's width: the mask transformer is 192 wide, its weights evenly spaced parts of GPT-2's
_base_ = '../segmenter_gpt2_ade20k.py'
model = dict(decode_head=dict(embed_dims=192, num_heads=3, ffn_dims=768, language=dict(fit='select')))
