# Plain cross entropy on all three heads, as the paper's text has it; OHEM is the authors' code.
_base_ = '../bisenet_xception39_4xb4-160k_cityscapes-1024x1024.py'

auxiliary_head = _base_.model.auxiliary_head
for head in auxiliary_head:
    head.update(sampler=None)
model = dict(decode_head=dict(sampler=None), auxiliary_head=auxiliary_head)
