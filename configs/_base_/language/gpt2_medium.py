# GPT-2 medium: 355M parameters
_base_ = './gpt2.py'
language = dict(checkpoint='openai-community/gpt2-medium', config=dict(n_embd=1024, n_head=16, n_layer=24))
