"""Compound scaling (EfficientDet, arXiv 1911.09070, Sec. 4.2): one number sets backbone, neck, head and input size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmlight.errors import InputError
from mmlight.tables.efficientnet import stages

WEIGHTS = {'b': 'mmlight://mmpretrain_efficientnet_', 'lite': 'mmlight://timm_efficientnet_'}
"""The authors' ImageNet weights (with AutoAugment but for Lite), as others ported them: names of the catalogue."""


@dataclass(frozen=True)
class EfficientDetScaling:
    """What distinguishes one EfficientDet from another.

    Attributes:
        input_size: Height and width of the input, pixels.
        backbone: ``'b0'`` to ``'b7'``, or ``'lite0'`` to ``'lite4'``.
        width: Channels of neck and head.
        cells: BiFPN cells.
        head_convs: Convolutions of each branch of the head before its prediction.
        fusion: Merge of the BiFPN.
        end_level: Highest pyramid level.
        anchor_scale: Side of the smallest anchor in strides.
    """

    input_size: int
    backbone: str
    width: int
    cells: int
    head_convs: int
    fusion: str = 'fast'
    end_level: int = 7
    anchor_scale: float = 4.0

    @property
    def lite(self) -> bool:
        return self.backbone.startswith('lite')

    @property
    def in_channels(self) -> tuple[int, int, int]:
        """Channels of the backbone's maps of strides 8, 16 and 32."""
        c3, c4, c5 = (stages(self.backbone)[number].channels for number in (2, 4, 6))
        return c3, c4, c5

    @property
    def strides(self) -> tuple[float, ...]:
        """Input pixels per cell on every level from 3: no integer where the size is not divisible."""
        sizes = [self.input_size]
        for _ in range(self.end_level):
            sizes.append(-(-sizes[-1] // 2))
        side = self.input_size
        return tuple(side / size if side % size else side // size for size in sizes[3:])


# arXiv 1911.09070, Table 1, and the authors' code (google/automl, efficientdet) for fusion, anchors and the Lite rows.
# The weighted fusion was dropped from D6 on "for stability".
EFFICIENTDETS = {
    'd0': EfficientDetScaling(512, 'b0', 64, 3, 3),
    'd1': EfficientDetScaling(640, 'b1', 88, 4, 3),
    'd2': EfficientDetScaling(768, 'b2', 112, 5, 3),
    'd3': EfficientDetScaling(896, 'b3', 160, 6, 4),
    'd4': EfficientDetScaling(1024, 'b4', 224, 7, 4),
    'd5': EfficientDetScaling(1280, 'b5', 288, 7, 4),
    'd6': EfficientDetScaling(1280, 'b6', 384, 8, 5, 'sum'),
    'd7': EfficientDetScaling(1536, 'b6', 384, 8, 5, 'sum', anchor_scale=5.0),
    'd7x': EfficientDetScaling(1536, 'b7', 384, 8, 5, 'sum', end_level=8),
    'lite0': EfficientDetScaling(320, 'lite0', 64, 3, 3, 'sum', anchor_scale=3.0),
    'lite1': EfficientDetScaling(384, 'lite1', 88, 4, 3, 'sum', anchor_scale=3.0),
    'lite2': EfficientDetScaling(448, 'lite2', 112, 5, 3, 'sum', anchor_scale=3.0),
    'lite3': EfficientDetScaling(512, 'lite3', 160, 6, 4, 'sum'),
    'lite3x': EfficientDetScaling(640, 'lite3', 200, 6, 4, 'sum', anchor_scale=3.0),
    'lite4': EfficientDetScaling(640, 'lite4', 224, 7, 4, 'sum'),
}


def _row(name: str | int) -> EfficientDetScaling:
    key = f'd{name}' if type(name) is int else name
    if not isinstance(key, str) or key not in EFFICIENTDETS:
        raise InputError(f'EfficientDet: name must be 0 to 7 or one of {list(EFFICIENTDETS)}, got {name!r}')
    return EFFICIENTDETS[key]


def model_config(name: str | int) -> dict:
    """The values by which the config of a published model differs from D0's, to be merged into it:
    ``config.merge_from_dict(dict(model=model_config('d3')))`` makes D3 of ``configs/efficientdet/efficientdet_d0_*.py``
    and of ``configs/_base_/models/efficientdet_d0.py``.

    Args:
        name: The coefficient 0 to 7, or ``'d0'`` to ``'d7'``, ``'d7x'``, ``'lite0'`` to ``'lite4'``, ``'lite3x'``.

    Raises:
        InputError: for another model.
    """
    table = _row(name)
    neck = dict(
        in_channels=list(table.in_channels),
        out_channels=table.width,
        num_cells=table.cells,
        fusion=table.fusion,
    )
    if table.end_level != 7:
        neck['end_level'] = table.end_level
    head = dict(
        in_channels=table.width,
        stacked_convs=table.head_convs,
        anchor_generator=dict(octave_base_scale=table.anchor_scale, strides=list(table.strides)),
    )
    preprocessor = dict(pad_size_divisor=table.input_size)
    if not table.lite:
        backbone = dict(
            arch=table.backbone,
            drop_path_rate=0.0 if table.backbone == 'b0' else 0.2,
            init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=WEIGHTS['b'] + table.backbone),
        )
        return dict(data_preprocessor=preprocessor, backbone=backbone, neck=neck, bbox_head=head)
    relu6 = dict(act_cfg=dict(type='ReLU6'))
    norm_cfg = dict(type='BN', eps=1e-3, momentum=0.01)
    return dict(
        data_preprocessor={**preprocessor, 'mean': [127.0] * 3, 'std': [128.0] * 3},
        backbone=dict(
            _delete_=True,
            type='mmlight.EfficientNetLite',
            arch=table.backbone,
            drop_path_rate=0.2,
            norm_cfg=norm_cfg,
            init_cfg=dict(type='Pretrained', checkpoint=WEIGHTS['lite'] + table.backbone),
        ),
        neck={**neck, **relu6},
        bbox_head={**head, **relu6},
    )


def compound_scaling(name: str | int, base: Mapping) -> dict:
    """Everything by which the COCO config of a published model differs from D0's: ``model`` and the input size in the
    pipelines of its data. A config writes ``globals().update(compound_scaling('d3', _base_))``.

    Args:
        name: As in :func:`model_config`.
        base: D0's config or its parts, ``_base_``: ``train_pipeline`` and ``test_pipeline`` are taken over.
    """
    side = _row(name).input_size
    square = dict(scale=(side, side))
    sides = {'mmlight.JitterWindow': dict(square, crop_size=(side, side)), 'Resize': square}

    def resized(pipeline: Sequence[Mapping]) -> list[dict]:
        return [{**step, **sides.get(step['type'], {})} for step in pipeline]

    train, test = resized(base['train_pipeline']), resized(base['test_pipeline'])
    return dict(
        model=model_config(name),
        size=side,
        train_pipeline=train,
        test_pipeline=test,
        train_dataloader=dict(dataset=dict(pipeline=train)),
        val_dataloader=dict(dataset=dict(pipeline=test)),
        test_dataloader=dict(dataset=dict(pipeline=test)),
    )
