"""Detection parts that mmdet has no class for."""

from mmlight.models.det.cr_backbones import CRMobileNetV2, CRResNet, CRResNeXt
from mmlight.models.det.cr_supernets import (
    CROpSuperMobileNetV2,
    CROpSuperResNet,
    CROpSuperResNeXt,
    CRStageSuperMobileNetV2,
    CRStageSuperResNet,
    CRStageSuperResNeXt,
)
from mmlight.models.det.efficientdet_head import AspectPairAnchorGenerator, EfficientDetHead
from mmlight.models.det.ohem_bbox_heads import LightHeadBBoxHead, OneLayerBBoxHead, RFCNBBoxHead
from mmlight.models.det.ps_roi_extractor import PSRoIExtractor
from mmlight.models.det.resnet10 import ResNet10
from mmlight.models.det.retina_sepbn_head import RetinaSepBNHead
from mmlight.models.det.selective_rpn_head import SelectiveRPNHead
from mmlight.models.det.thundernet_rpn_head import ThunderNetRPNHead

__all__ = [
    'AspectPairAnchorGenerator',
    'CRMobileNetV2',
    'CROpSuperMobileNetV2',
    'CROpSuperResNeXt',
    'CROpSuperResNet',
    'CRResNeXt',
    'CRResNet',
    'CRStageSuperMobileNetV2',
    'CRStageSuperResNeXt',
    'CRStageSuperResNet',
    'EfficientDetHead',
    'LightHeadBBoxHead',
    'OneLayerBBoxHead',
    'PSRoIExtractor',
    'RFCNBBoxHead',
    'ResNet10',
    'RetinaSepBNHead',
    'SelectiveRPNHead',
    'ThunderNetRPNHead',
]
