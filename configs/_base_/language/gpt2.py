# GPT-2 small: 124M parameters
language = dict(
    checkpoint='openai-community/gpt2',
    config=dict(model_type='gpt2', n_embd=768, n_head=12, n_layer=12))
