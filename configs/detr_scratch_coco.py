# Table 6 of the LBBT paper, the baseline: the same architecture with DETR's own initialisation
_base_ = './detr_gpt2_coco.py'
model = dict(language=dict(arm='host'))
