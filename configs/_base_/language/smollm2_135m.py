# SmolLM2-135M: Llama architecture, nine query heads share three key/value heads
language = dict(
    checkpoint='HuggingFaceTB/SmolLM2-135M',
    config=dict(
        model_type='llama',
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        hidden_act='silu',
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_theta=100000.0,
        initializer_range=1 / 24))  # transformers' default for Llama is 0.02
