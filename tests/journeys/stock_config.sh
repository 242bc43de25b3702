# One of mmdet's configs with a backbone from here, on own data.
cat > my.py <<'END'
_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
custom_imports = dict(imports=['mmlight'])
model = dict(
    backbone=dict(_delete_=True, type='mmlight.ShuffleNetV2', widen_factor=0.5, out_indices=(0, 1, 2)),
    neck=dict(in_channels=[48, 96, 192], out_channels=64, start_level=0),
    bbox_head=dict(in_channels=64, feat_channels=64, stacked_convs=1),
)
END
mmlight sample --out street
mmlight flops my.py --shape 256 320
mmlight train my.py --data street --epochs 1 --work-dir run --cfg-options "train_dataloader.dataset.pipeline.2.scale=(320,256)" "val_dataloader.dataset.pipeline.1.scale=(320,256)" "test_dataloader.dataset.pipeline.1.scale=(320,256)"
mmlight test run/my.py run/epoch_1.pth --deploy
