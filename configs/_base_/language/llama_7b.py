# LLaMA-1-7B: 32 blocks, 4,096 wide
language = dict(
    checkpoint='huggyllama/llama-7b',
    config=dict(
        model_type='llama',
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        hidden_act='silu',
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        initializer_range=0.02))
