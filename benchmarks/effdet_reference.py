"""The package effdet (rwightman/efficientdet-pytorch) as an independent reference for EfficientDet."""

import importlib
from types import ModuleType

import torch
from torch import nn

from mmlight.errors import InputError

_OPERATORS = []  # keeps what is declared there alive


def import_effdet() -> ModuleType:
    """The package; it needs torchvision only to be importable.

    Raises:
        InputError: it is not installed.
    """
    try:
        try:
            importlib.import_module('torchvision')
        except RuntimeError:  # built for CUDA, beside a torch for CPU: its operators' library does not load
            library = torch.library.Library('torchvision', 'FRAGMENT')
            for name in ('nms', 'qnms'):
                library.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
            _OPERATORS.append(library)
        return importlib.import_module('effdet')
    except ModuleNotFoundError as error:
        raise InputError('the package effdet is not installed (pip install -e .[tests])') from error


def effdet_model(name: str, size: tuple[int, int], seed: int = 0) -> nn.Module:
    """effdet's model of the TensorFlow-ported kind with 90 classes and random weights, the same ones for every size.

    Args:
        name: ``'d0'``, ..., as in :data:`mmlight.tables.efficientdet_scaling.EFFICIENTDETS`.
        size: Height and width of the input; effdet fixes its resizing when it is built.
        seed: Of the weights.
    """
    effdet = import_effdet()
    config = effdet.get_efficientdet_config(f'tf_efficientdet_{name}')
    config.image_size = size
    torch.manual_seed(seed)
    model = effdet.EfficientDet(config, pretrained_backbone=False)
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            if key.endswith('edge_weights'):
                tensor.uniform_(-0.3, 1.7)  # some below 0: they do not count
            elif tensor.dim() == 4:
                tensor.normal_(0, (1.5 / tensor[0].numel()) ** 0.5)
            else:
                tensor.normal_(0, 0.1)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.75, 1.25)
                module.running_var.uniform_(0.75, 1.25)
                module.running_mean.normal_(0, 0.1)
    return model.eval()
