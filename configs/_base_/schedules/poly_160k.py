# BiSeNet as in its authors' code, ycszen/TorchSeg: SGD 0.01 for 16 images, weight decay 5e-4 but for norms and biases,
# tenfold rate of heads and fusion, polynomial decay of power 0.9 to 0 without warm-up (the paper, arXiv 1808.00897:
# 0.025 and 1e-4). The length is mmseg's; there it is 80k (ResNet-18) and 140k (Xception39).
max_iters = 160000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end=max_iters, by_epoch=False)]
part_rates = {'decode_head': 10, 'auxiliary_head': 10, 'backbone.fusion': 10}
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmlight.PartRates',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, part_rates=part_rates),
)

sync_bn = 'torch'
# --auto-scale-lr: base_batch_size = 4 GPUs x 4 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
