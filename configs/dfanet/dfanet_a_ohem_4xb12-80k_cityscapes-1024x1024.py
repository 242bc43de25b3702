# Online hard example mining, which the paper does not have and re-implementations trained from scratch use.
_base_ = './dfanet_a_4xb12-80k_cityscapes-1024x1024.py'

# per image: a sixteenth of the crop
model = dict(decode_head=dict(sampler=dict(type='mmlight.KeptPixelSampler', thresh=0.7, min_kept=65536)))
