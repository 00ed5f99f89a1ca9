# GPT-2 small: 124M parameters
language = dict(
    checkpoint='openai-community/gpt2',
    config=dict(
        model_type='gpt2',
        n_embd=768,
        n_head=12,
        n_layer=12,
        n_positions=1024,
        activation_function='gelu_new',
        layer_norm_epsilon=1e-5,
        initializer_range=0.02))
