# Qwen3-8B: queries and keys are RMS-normalised per head
language = dict(
    checkpoint='Qwen/Qwen3-8B',
    config=dict(
        model_type='qwen3',
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        hidden_act='silu',
        max_position_embeddings=40960,
        rms_norm_eps=1e-6,
        rope_theta=1000000.0,
        initializer_range=0.02))
