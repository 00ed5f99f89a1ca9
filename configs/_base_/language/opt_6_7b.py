# OPT-6.7B: as OPT-1.3B, wider and deeper
_base_ = './opt_1_3b.py'
language = dict(
    checkpoint='facebook/opt-6.7b',
    config=dict(hidden_size=4096, ffn_dim=16384, num_hidden_layers=32))
