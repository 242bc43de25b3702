"""EfficientNet-Lite weights of timm (``tf_efficientnet_lite*``) and of efficientnet-lite-pytorch under our names."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from mmlight.errors import InputError
from mmlight.layers.arithmetic import KEY, encode
from mmlight.tables.efficientnet import SCALING, stages
from mmlight.weights.efficientdet import ARITHMETIC, BLOCK, EFFDET_BLOCK, EFFDET_FIRST_BLOCK, LAYERS

ML_ILLUSTRATED_BLOCK = ('_expand_conv', '_bn0', '_depthwise_conv', '_bn1', None, None, '_project_conv', '_bn2')
STEMS = {'timm': ('conv_stem', 'bn1'), 'efficientnet-lite-pytorch': ('_conv_stem', '_bn0')}
HEADS = {'timm': ('conv_head.', 'bn2.', 'classifier.'), 'efficientnet-lite-pytorch': ('_conv_head.', '_bn1.', '_fc.')}


def _modules(layout: str, arch: str) -> Iterator[tuple[str, str]]:
    """Every module with weights: its name there, and here."""
    yield from zip(STEMS[layout], ('layers.0.conv', 'layers.0.bn'), strict=True)
    numbers, flat = dict.fromkeys(LAYERS, 0), 0
    names: tuple[str | None, ...]
    for index, (layer, stage) in enumerate(zip(LAYERS, stages(arch), strict=True)):
        for repeat in range(stage.repeats):
            if layout == 'timm':
                source, names = f'blocks.{index}.{repeat}', EFFDET_BLOCK if index else EFFDET_FIRST_BLOCK
            else:
                source, names = f'_blocks.{flat}', ML_ILLUSTRATED_BLOCK
            for old, new in zip(names, BLOCK, strict=True):
                if old and not new.startswith('se.') and (index or not new.startswith('expand')):
                    yield f'{source}.{old}', f'layers.{layer}.{numbers[layer]}.{new}'
            numbers[layer] += 1
            flat += 1


def convert(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str, str]:
    """The backbone's weights; the classifier is left out.

    Returns:
        The weights under the names of :class:`~mmlight.models.backbones.efficientnet_lite.EfficientNetLite`; the
        network, ``'lite0'`` to ``'lite4'``; the layout.

    Raises:
        InputError: for another layout, or keys that fit no network.
    """
    weights = {name.removeprefix('module.'): tensor for name, tensor in state_dict.items()}
    layout = next((name for name, (stem, _) in STEMS.items() if f'{stem}.weight' in weights), None)
    if layout is None:
        raise InputError(f'no EfficientNet-Lite of {" or ".join(STEMS)}: found {", ".join(list(weights)[:3])}')
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith(HEADS[layout])}
    for arch in (name for name in SCALING if name.startswith('lite')):
        modules = dict(_modules(layout, arch))
        last = next(name for name in reversed(modules) if modules[name].endswith('linear_conv.conv'))
        fits = {name.rpartition('.')[0] for name in weights} == set(modules)
        # lite1 and lite2 have the same names
        if fits and len(weights[f'{last}.weight']) == stages(arch)[-1].channels:
            parts = ((name.rpartition('.'), tensor) for name, tensor in weights.items())
            found = {f'{modules[module]}.{leaf}': tensor for (module, _, leaf), tensor in parts}
            return found | {KEY: encode(ARITHMETIC)}, arch, layout
    raise InputError(f'{layout} layout, but the keys fit none of EfficientNet-Lite0 to Lite4')
