"""Rates of parts of a network beside the rules for norms and biases, and the clipping of single gradients."""

from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PartRates(DefaultOptimWrapperConstructor):
    """mmengine's constructor with ``paramwise_cfg=dict(part_rates={'decode_head': 10, ...})``: factors of the rate.

    A key of ``custom_keys`` puts all other rules out of force, so that the norms and biases of a part that learns
    faster decay again. These factors leave the rules alone. A part is a module's full name; of two that hold a
    parameter the longer one counts.

    Raises:
        InputError: for a part that the network does not have.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', *args: Any, **kwargs: Any) -> None:
        super().add_params(params, module, prefix, *args, **kwargs)
        if prefix:
            return
        rates = self.paramwise_cfg.get('part_rates', {})
        used, names = set(), {id(parameter): name for name, parameter in module.named_parameters()}
        for group in params:
            name = names[id(group['params'][0])]
            parts = [part for part in rates if name.startswith(f'{part}.')]
            used.update(parts)
            if parts:
                group['lr'] = group.get('lr', self.base_lr) * rates[max(parts, key=len)]
        if unknown := sorted(set(rates) - used):
            raise InputError(f'part_rates: {unknown[0]!r} is no part of {type(module).__name__} with parameters')


def clip_each_and_all(parameters: list[nn.Parameter], max_norm: float) -> Tensor:
    """Clip each gradient's norm and then that of all together; the common norm before the second step."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients)).clamp(min=max_norm)
    torch._foreach_mul_(gradients, (max_norm / norms).unbind())
    return nn.utils.clip_grad_norm_(parameters, max_norm)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ClipEach(DefaultOptimWrapperConstructor):
    """mmengine's constructor; ``clip_grad=dict(max_norm=...)`` holds for each parameter's gradient and then for all
    together, as in EfficientDet's code (google/automl, ``det_model_fn.py``)."""

    def __call__(self, model: nn.Module) -> OptimWrapper:
        wrapper = super().__call__(model)
        if wrapper.clip_grad_kwargs:
            wrapper.clip_func = clip_each_and_all
        return wrapper
