# sharelock_llama3_8b_cc3m.py with Gemma-2-9B
_base_ = './sharelock_llama3_8b_cc3m.py'
model = dict(text_projection=dict(in_channels=3584))
stores = dict(text_store=_base_.features + 'gemma2_9b', text_expected=dict(model='google/gemma-2-9b'))
train_dataloader = val_dataloader = test_dataloader = dict(dataset=stores)
