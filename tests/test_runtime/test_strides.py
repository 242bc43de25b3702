"""Detectors whose heads ask for other levels than the backbone gives (tensorflow/models #9948)."""

import pytest

from mmlight.errors import InputError
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build
from mmlight.runtime.strides import check_strides

GIVEN = r"the model has no neck, and SpineNet's maps have strides \[8, 16, 32, 64, 128\]"


@pytest.mark.parametrize(
    ('option', 'strides', 'what'),
    [
        ('roi_head.bbox_roi_extractor.featmap_strides', [4, 8, 16, 32], None),
        ('roi_head.mask_roi_extractor.featmap_strides', [8, 16, 32, 64, 128, 256], None),
        ('rpn_head.anchor_generator.strides', [4, 8, 16, 32, 64], 'rpn_head: anchors of strides'),
        ('rpn_head.anchor_generator.strides', [8, 16, 32, 64], 'rpn_head: anchors of strides'),
    ],
)
def test_levels_that_the_table_lacks(option, strides, what):
    small = {'model.backbone.filter_scale': 0.1, 'model.roi_head.bbox_head.fc_out_channels': 8}
    cfg = load_config('mask-rcnn_spinenet-49_8xb32-crop640-350e_coco', small)
    check_strides(build(cfg))
    cfg.merge_from_dict({f'model.{option}': strides})
    listed = ', '.join(map(str, strides))
    with pytest.raises(InputError, match=rf'model\.{what or option} \[{listed}\] do not fit: {GIVEN}'):
        check_strides(build(cfg))


def test_levels_of_a_part_of_the_table():
    cfg = load_config('retinanet_spinenet-49s_sample', {'model.backbone.out_levels': [3, 4, 5]})
    cfg.model.bbox_head.num_ins = 3
    with pytest.raises(InputError, match=r'anchors of strides \[8, 16, 32, 64, 128\] .* have strides \[8, 16, 32\]'):
        check_strides(build(cfg))
    cfg.model.bbox_head.anchor_generator.strides = [8, 16, 32]
    check_strides(build(cfg))
