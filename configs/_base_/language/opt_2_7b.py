# OPT-2.7B: as OPT-1.3B, wider and deeper
_base_ = './opt_1_3b.py'
language = dict(
    checkpoint='facebook/opt-2.7b',
    config=dict(hidden_size=2560, ffn_dim=10240, num_hidden_layers=32))
