"""Whether a detector's heads expect the maps that its backbone gives."""

from torch import nn

from mmlight.errors import InputError


def check_strides(model: nn.Module) -> None:
    """Compare the strides that anchors and RoI extractors are made for with those of the backbone's maps.

    Only where the heads read the backbone itself (no neck), and it declares ``out_strides``. Heads read all maps, RoI
    extractors the first ones; mmdet notices a wrong number of maps in the first step, wrong strides never.

    Raises:
        InputError: they differ.
    """
    given = getattr(getattr(model, 'backbone', None), 'out_strides', None)
    if given is None or getattr(model, 'neck', None) is not None:
        return
    for name, module in model.named_modules():
        strides = getattr(getattr(module, 'prior_generator', None), 'strides', None)
        if strides is not None:
            what, wanted, expected = f'{name}: anchors of strides', _plain(strides), list(given)
        elif isinstance(getattr(module, 'featmap_strides', None), (list, tuple)):
            wanted = _plain(module.featmap_strides)
            what, expected = f'{name}.featmap_strides', list(given[: len(wanted)])
        else:
            continue
        if wanted != expected:
            raise InputError(
                f"model.{what} {wanted} do not fit: the model has no neck, and {type(model.backbone).__name__}'s maps "
                f'have strides {list(given)}'
            )


def _plain(strides: list) -> list[int]:
    return [stride[0] if isinstance(stride, (list, tuple)) else stride for stride in strides]
