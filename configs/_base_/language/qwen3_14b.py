# Qwen3-14B: as Qwen3-8B, wider and deeper
_base_ = './qwen3_8b.py'
language = dict(
    checkpoint='Qwen/Qwen3-14B',
    config=dict(hidden_size=5120, intermediate_size=17408, num_hidden_layers=40, num_attention_heads=40))
