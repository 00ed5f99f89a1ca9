# OPT-350M: the only OPT whose norms stand after each residual sum; its words are embedded in half the width
_base_ = './opt_1_3b.py'
language = dict(
    checkpoint='facebook/opt-350m',
    config=dict(hidden_size=1024, ffn_dim=4096, num_attention_heads=16, word_embed_proj_dim=512, do_layer_norm_before=False))
