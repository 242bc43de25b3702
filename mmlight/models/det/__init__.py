"""Detection parts that mmdet has no class for."""

from mmlight.models.det.efficientdet_head import AspectPairAnchorGenerator, EfficientDetHead
from mmlight.models.det.ps_roi_extractor import PSRoIExtractor
from mmlight.models.det.retina_sepbn_head import RetinaSepBNHead
from mmlight.models.det.thundernet_rpn_head import ThunderNetRPNHead

__all__ = ['AspectPairAnchorGenerator', 'EfficientDetHead', 'PSRoIExtractor', 'RetinaSepBNHead', 'ThunderNetRPNHead']
