# NASNet's cells (arXiv 1707.07012, Sec. 3.1) as a detector's backbone. The paper searched on CIFAR-10, with 20,000
# samples; here they are trained like SpineNet's proxy. The cells below are NASNet-A's, which the search replaces.
_base_ = './spinenet_proxy_512_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmlight.NASNet',
        cells=dict(
            normal=[
                [[0, 1], ['separable_5x5', 'separable_3x3'], 'add'],
                [[1, 1], ['separable_5x5', 'separable_3x3'], 'add'],
                [[0, 1], ['avg_pool_3x3', 'identity'], 'add'],
                [[1, 1], ['avg_pool_3x3', 'avg_pool_3x3'], 'add'],
                [[0, 0], ['separable_3x3', 'identity'], 'add'],
            ],
            reduction=[
                [[0, 1], ['separable_5x5', 'separable_7x7'], 'add'],
                [[0, 1], ['max_pool_3x3', 'separable_7x7'], 'add'],
                [[0, 1], ['avg_pool_3x3', 'separable_5x5'], 'add'],
                [[3, 2], ['identity', 'avg_pool_3x3'], 'add'],
                [[2, 0], ['separable_3x3', 'max_pool_3x3'], 'add'],
            ],
        ),
        channels=16,
        num_cells=2,
    ),
    neck=dict(_delete_=True, type='mmlight.GraphFPN', in_channels=[160, 320, 640], out_channels=64, graph='fpn'),
)

search = dict(space=dict(type='NASNetSpace'), trials=20000)
