"""The norms that a module has when a config says nothing of them: momentum and eps of its source.

PyTorch's momentum is the share of the new batch, TensorFlow's 1 less it. A wrong one trains, but not to the figure.
"""

import inspect

import pytest
from torch import nn

from mmlight.registry import MODELS
from mmlight.tables.cells import NASNET_A

PYTORCH = (0.1, 1e-5)  # networks published in PyTorch, or in papers that name none
TENSORFLOW = (0.01, 1e-3)  # google/automl efficientdet and tensorflow/tpu: momentum 0.99, epsilon 1e-3
CASES = {
    'BiFPN': (TENSORFLOW, dict(in_channels=[8, 8, 8], out_channels=8)),
    'GraphFPN': (TENSORFLOW, dict(in_channels=[8, 8, 8], out_channels=8, graph='pafpn')),
    'NASFPN': (TENSORFLOW, dict(in_channels=[8, 8, 8], out_channels=8)),
    'EfficientNet': (TENSORFLOW, {}),
    'EfficientNetLite': (TENSORFLOW, {}),
    'SpineNet': (TENSORFLOW, dict(arch='49S')),
    'SpineNetMBConv': (TENSORFLOW, {}),
    'EfficientDetHead': (TENSORFLOW, dict(num_classes=2, in_channels=8)),
    'ThunderNetNeck': (PYTORCH, dict(in_channels=[8, 8], out_channels=5)),
    'BiSeNet': (PYTORCH, dict(backbone=dict(type='mmlight.Xception39', out_indices=(1, 2)), in_channels=[128, 256])),
    'DFANet': (PYTORCH, {}),
    'DFAXception': (PYTORCH, {}),
    'NASNet': (PYTORCH, dict(cells=NASNET_A, channels=8)),
    'DFAHead': (PYTORCH, dict(in_channels=[8] * 6, in_index=[0, 1, 2, 3, 4, 5], num_classes=2)),
    **{
        name: (PYTORCH, {})
        for name in ('MobileNetV2', 'SNet', 'ShuffleNetV1', 'ShuffleNetV2', 'Xception39', 'XceptionStar')
    },
}


@pytest.mark.parametrize('name', CASES)
def test_norms(name):
    expected, arguments = CASES[name]
    module = MODELS.get(name)(**arguments)
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {expected}


def test_no_module_is_left_out():
    """Those of `CR...` and `ResNet10` are mmdet's ResNets."""
    own = [name for name, module in MODELS.module_dict.items() if module.__module__.startswith('mmlight')]
    with_norms = {name for name in own if inspect.signature(MODELS.get(name)).parameters.get('norm_cfg')}
    default = {name: inspect.signature(MODELS.get(name)).parameters['norm_cfg'].default for name in with_norms}
    assert {name for name in with_norms if default[name] and not name.startswith(('CR', 'ResNet'))} <= set(CASES)
