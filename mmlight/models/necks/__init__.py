"""Necks, one file each."""

from mmlight.models.necks.graph_fpn import BiFPN, GraphFPN
from mmlight.models.necks.light_head_neck import LightHeadNeck
from mmlight.models.necks.nas_fpn import NASFPN
from mmlight.models.necks.rfcn_neck import RFCNNeck
from mmlight.models.necks.super_fpn import SuperFPN
from mmlight.models.necks.thundernet_neck import ThunderNetNeck

__all__ = ['NASFPN', 'BiFPN', 'GraphFPN', 'LightHeadNeck', 'RFCNNeck', 'SuperFPN', 'ThunderNetNeck']
