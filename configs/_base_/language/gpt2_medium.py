# GPT-2 medium: 355M parameters
language = dict(
    checkpoint='openai-community/gpt2-medium',
    config=dict(
        model_type='gpt2',
        n_embd=1024,
        n_head=16,
        n_layer=24,
        n_positions=1024,
        activation_function='gelu_new',
        layer_norm_epsilon=1e-5,
        initializer_range=0.02))
