"""Reference ShuffleNetV1, ShuffleNetV2 and SNet, written from the papers in the module names of other implementations.

They share no code with mmlight: parameters under the names that published checkpoints use, and each implementation's
own way to split and shuffle channels. ``features(net, image)`` gives the output of every stage and of the last 1x1
convolution.
"""

import torch
from torch import nn

UNITS = (4, 8, 4)
V2_STAGES = {0.5: (48, 96, 192), 1.0: (116, 232, 464), 1.5: (176, 352, 704), 2.0: (244, 488, 976)}
V2_FINAL = {0.5: 1024, 1.0: 1024, 1.5: 1024, 2.0: 2048}
SNET_STEM = {49: 24, 146: 24, 535: 48}
SNET_STAGES = {49: (60, 120, 240), 146: (132, 264, 528), 535: (248, 496, 992)}
SNET_FINAL = {49: 512, 146: None, 535: None}
V1_STAGES = {  # (groups, width)
    (3, 0.5): (120, 240, 480), (3, 1.0): (240, 480, 960),
    (8, 0.5): (192, 384, 768), (8, 1.5): (576, 1152, 2304),
}  # fmt: skip
V1_STEM = {(3, 0.5): 12, (3, 1.0): 24, (8, 0.5): 16, (8, 1.5): 24}


def conv(inputs, outputs, kernel=1, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def stem(outputs):
    return nn.Sequential(conv(3, outputs, 3, 2), nn.BatchNorm2d(outputs), nn.ReLU())


def last(inputs, outputs):
    return nn.Sequential(conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU())


def projection(inputs, outputs, kernel):
    """Depthwise at stride 2, pointwise: members 0 to 4."""
    return nn.Sequential(
        conv(inputs, inputs, kernel, 2, inputs), nn.BatchNorm2d(inputs),
        conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(),
    )  # fmt: skip


def main(inputs, middle, outputs, kernel, stride):
    """Pointwise, depthwise, pointwise: members 0 to 7."""
    return nn.Sequential(
        conv(inputs, middle), nn.BatchNorm2d(middle), nn.ReLU(),
        conv(middle, middle, kernel, stride, middle), nn.BatchNorm2d(middle),
        conv(middle, outputs), nn.BatchNorm2d(outputs), nn.ReLU(),
    )  # fmt: skip


class TorchvisionUnit(nn.Module):
    """Halves in, two equal branches, interleaved out."""

    def __init__(self, inputs, outputs, stride, kernel):
        super().__init__()
        half = outputs // 2
        self.stride = stride
        self.branch1 = projection(inputs, half, kernel) if stride == 2 else nn.Sequential()
        self.branch2 = main(inputs if stride == 2 else half, half, half, kernel, stride)

    def forward(self, x):
        left, right = (x, x) if self.stride == 2 else (x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :])
        left, right = self.branch1(left), self.branch2(right)
        out = torch.empty(len(x), 2 * left.shape[1], *left.shape[2:], dtype=x.dtype)
        out[:, 0::2], out[:, 1::2] = left, right
        return out


class AuthorsUnit(nn.Module):
    """Even channels pass, odd channels are worked on; the projection keeps the input's channels; no shuffle."""

    names = ('branch_proj', 'branch_main')

    def __init__(self, inputs, outputs, stride, kernel):
        super().__init__()
        half = outputs // 2
        if stride == 2:
            setattr(self, self.names[0], projection(inputs, inputs, kernel))
            setattr(self, self.names[1], main(inputs, half, outputs - inputs, kernel, 2))
        else:
            setattr(self, self.names[1], main(half, half, half, kernel, 1))

    def forward(self, x):
        worked = getattr(self, self.names[1])
        if hasattr(self, self.names[0]):
            return torch.cat([getattr(self, self.names[0])(x), worked(x)], 1)
        even = torch.arange(0, x.shape[1], 2)
        return torch.cat([x.index_select(1, even), worked(x.index_select(1, even + 1))], 1)


class SNetUnit(AuthorsUnit):
    names = ('branch_left', 'branch')


def stages(unit, inputs, widths, kernel):
    made = []
    for width, units in zip(widths, UNITS, strict=True):
        made.append([unit(width if i else inputs, width, 1 if i else 2, kernel) for i in range(units)])
        inputs = width
    return made


class Torchvision(nn.Module):
    """torchvision's names: conv1, stage2..4, conv5, fc."""

    def __init__(self, widen_factor, classes=1000):
        super().__init__()
        widths, final = V2_STAGES[widen_factor], V2_FINAL[widen_factor]
        self.conv1 = stem(24)
        for number, units in zip((2, 3, 4), stages(TorchvisionUnit, 24, widths, 3), strict=True):
            setattr(self, f'stage{number}', nn.Sequential(*units))
        self.conv5 = last(widths[-1], final)
        self.fc = nn.Linear(final, classes)

    def parts(self):
        return self.conv1, [self.stage2, self.stage3, self.stage4], self.conv5, self.fc


class Megvii(nn.Module):
    """megvii's names: first_conv, features 0..15, conv_last, classifier (without bias)."""

    def __init__(self, widen_factor, classes=1000):
        super().__init__()
        widths, final = V2_STAGES[widen_factor], V2_FINAL[widen_factor]
        self.first_conv = stem(24)
        self.features = nn.Sequential(*(unit for stage in stages(AuthorsUnit, 24, widths, 3) for unit in stage))
        self.conv_last = last(widths[-1], final)
        self.classifier = nn.Sequential(nn.Linear(final, classes, bias=False))

    def parts(self):
        return (
            self.first_conv,
            [self.features[:4], self.features[4:12], self.features[12:]],
            self.conv_last,
            self.classifier,
        )


class OfficialSNet(nn.Module):
    """The SNet release's names: first_conv, stage 0..2, classifier (without bias)."""

    def __init__(self, arch, classes=1000):
        super().__init__()
        widths = SNET_STAGES[arch]
        self.first_conv = stem(SNET_STEM[arch])
        units = stages(SNetUnit, SNET_STEM[arch], widths, 5)
        self.stage = nn.Sequential(*[nn.Sequential(*stage) for stage in units])
        self.classifier = nn.Sequential(nn.Linear(widths[-1], classes, bias=False))

    def parts(self):
        return self.first_conv, list(self.stage), None, self.classifier


class V1Unit(nn.Module):
    """Group convolution, depthwise, channels in another order, group convolution; beside pooling or nothing.

    ``order(channels, groups)``: from where each channel behind the change of order comes.
    """

    def __init__(self, inputs, outputs, stride, groups, first_groups, order):
        super().__init__()
        middle, added = outputs // 4, outputs - inputs if stride == 2 else outputs
        self.order, self.stride = order(middle, groups), stride
        self.build(
            nn.Conv2d(inputs, middle, 1, groups=first_groups, bias=False),
            nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False),
            nn.Conv2d(middle, added, 1, groups=groups, bias=False),
        )

    def forward(self, x):
        first, depthwise, last = self.steps()
        branch = last(depthwise(first(x).relu())[:, self.order])
        if self.stride == 1:
            return (branch + x).relu()
        return torch.cat([nn.functional.avg_pool2d(x, 3, 2, 1), branch.relu()], 1)


class MegviiV1Unit(V1Unit):
    def build(self, first, depthwise, last):
        norm, norm_last = (nn.BatchNorm2d(conv.out_channels) for conv in (depthwise, last))
        first_norm = nn.BatchNorm2d(first.out_channels)
        self.branch_main_1 = nn.Sequential(first, first_norm, nn.ReLU(), depthwise, norm)
        self.branch_main_2 = nn.Sequential(last, norm_last)

    def steps(self):
        return self.branch_main_1[:2], self.branch_main_1[3:], self.branch_main_2


class ConvNorm(nn.Sequential):
    def __init__(self, conv):
        super().__init__()
        self.conv, self.bn = conv, nn.BatchNorm2d(conv.out_channels)


class MmpretrainV1Unit(V1Unit):
    def build(self, first, depthwise, last):
        self.g_conv_1x1_compress = ConvNorm(first)
        self.depthwise_conv3x3_bn = ConvNorm(depthwise)
        self.g_conv_1x1_expand = ConvNorm(last)

    def steps(self):
        return self.g_conv_1x1_compress, self.depthwise_conv3x3_bn, self.g_conv_1x1_expand


def strided(channels, groups):
    """Every ``groups``-th channel from the first on, then every ``groups``-th from the second on, ..."""
    return [c for first in range(groups) for c in range(first, channels, groups)]


def dealt(channels, groups):
    """The first channel of every group, then the second of every group, ..."""
    size = channels // groups
    return [group * size + place for place in range(size) for group in range(groups)]


def v1_stages(unit, groups, widen_factor, order):
    inputs, made = V1_STEM[groups, widen_factor], []
    for stage, (width, units) in enumerate(zip(V1_STAGES[groups, widen_factor], UNITS, strict=True)):
        made.append([])
        for i in range(units):
            made[-1].append(unit(inputs, width, 1 if i else 2, groups, groups if stage or i else 1, order))
            inputs = width
    return made


class MegviiV1(nn.Module):
    """megvii's names of ShuffleNetV1: first_conv, features 0..15, classifier (without bias)."""

    def __init__(self, groups, widen_factor, classes=1000):
        super().__init__()
        self.first_conv = stem(V1_STEM[groups, widen_factor])
        units = v1_stages(MegviiV1Unit, groups, widen_factor, strided)
        self.features = nn.Sequential(*(unit for stage in units for unit in stage))
        self.classifier = nn.Sequential(nn.Linear(V1_STAGES[groups, widen_factor][-1], classes, bias=False))

    def parts(self):
        return self.first_conv, [self.features[:4], self.features[4:12], self.features[12:]], None, self.classifier


class MmpretrainV1(nn.Module):
    """mmpretrain's names of ShuffleNetV1's backbone: conv1, layers 0..2."""

    def __init__(self, groups, widen_factor):
        super().__init__()
        self.conv1 = ConvNorm(conv(3, V1_STEM[groups, widen_factor], 3, 2))
        units = v1_stages(MmpretrainV1Unit, groups, widen_factor, dealt)
        self.layers = nn.ModuleList(nn.Sequential(*stage) for stage in units)

    def parts(self):
        return nn.Sequential(self.conv1, nn.ReLU()), list(self.layers), None, None


def features(net, image):
    """Outputs of the three stages and, where there is one, of the last convolution."""
    first, middle, final, _ = net.parts()
    x = nn.functional.max_pool2d(first(image), 3, 2, 1)
    outputs = []
    for stage in [*middle, final]:
        if stage is not None:
            x = stage(x)
            outputs.append(x)
    return outputs


def logits(net, image):
    return net.parts()[3](features(net, image)[-1].mean((2, 3)))


def randomize(net, seed=0):
    """Weights and statistics that keep activations at unit scale and tell every channel from the others."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, mean, std):
        tensor.data.normal_(mean, std, generator=generator)

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            normal(module.weight, 1, 0.1)
            normal(module.bias, 0, 0.2)
            normal(module.running_mean, 0, 0.2)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        elif isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            normal(module.weight, 0, (1 / fan_in) ** 0.5)
        elif isinstance(module, nn.Linear):
            normal(module.weight, 0, 0.05)
            if module.bias is not None:
                normal(module.bias, 0, 0.05)
    return net.eval()
