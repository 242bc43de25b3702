# A folder of your own, named by --data DIR: images and masks. Classes and encoding are found there.
_base_ = './cityscapes_small.py'
data_root = 'data/my_masks/'
metainfo = dict(classes=('background', 'object'))
train_pipeline = _base_.train_pipeline
train_pipeline[6].update(num_classes=2)
test_pipeline = _base_.test_pipeline
test_pipeline[3].update(num_classes=2)
folders = {
    split: dict(
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'masks/{split}'),
        pipeline=pipeline,
    )
    for split, pipeline in (('train', train_pipeline), ('val', test_pipeline))
}
train_dataloader = dict(dataset=folders['train'])
val_dataloader = dict(dataset=folders['val'])
test_dataloader = val_dataloader
del folders
