# Random search at the same number of trials as nas-fpn_shufflenet-v2_bccd.
_base_ = './nas-fpn_shufflenet-v2_bccd.py'
search = dict(sampler=dict(_delete_=True, type='RandomSampler'))
