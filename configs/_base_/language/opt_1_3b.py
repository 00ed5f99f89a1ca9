# OPT-1.3B
language = dict(
    checkpoint='facebook/opt-1.3b',
    config=dict(
        model_type='opt',
        hidden_size=2048,
        ffn_dim=8192,
        num_hidden_layers=24,
        num_attention_heads=32,
        activation_function='relu',
        do_layer_norm_before=True,
        max_position_embeddings=2048,
        vocab_size=50272,
        init_std=0.02))
