"""SpineNet-49S written out a second time, under the names of the PyTorch ports of 2020 (lucifer443, yan-roo)."""

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = {2: 41, 3: 83, 4: 166, 5: 166, 6: 166, 7: 166}
# level, bottleneck, inputs (arXiv 1912.05027, Fig. 4d)
TABLE = [(2, 1, 0, 1), (4, 0, 0, 1), (3, 1, 2, 3), (4, 1, 2, 4), (6, 0, 3, 5), (4, 1, 3, 5), (5, 0, 6, 7), (7, 0, 6, 8),
         (5, 1, 8, 9),
         (5, 1, 8, 10), (4, 1, 5, 10), (3, 1, 4, 10), (5, 1, 7, 12), (7, 1, 5, 14), (6, 1, 12, 14)]  # fmt: skip


def conv_norm(inputs, outputs, kernel, stride=1):
    return nn.ModuleDict(
        dict(
            conv=nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            bn=nn.BatchNorm2d(outputs, eps=1e-3),
        )
    )


def run(layer, x, act=True):
    x = layer['bn'](layer['conv'](x))
    return F.relu(x) if act else x


class Block(nn.Module):
    def __init__(self, inputs, width, bottleneck):
        super().__init__()
        shapes = [(inputs, width, 1), (width, width, 3), (width, 4 * width, 1)]
        if not bottleneck:
            shapes = [(inputs, width, 3), (width, width, 3)]
        for i, (inp, out, kernel) in enumerate(shapes, 1):
            setattr(self, f'conv{i}', nn.Conv2d(inp, out, kernel, 1, kernel // 2, bias=False))
            setattr(self, f'bn{i}', nn.BatchNorm2d(out, eps=1e-3))
        self.count = len(shapes)
        if inputs != shapes[-1][1]:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width, eps=1e-3)
            )

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, 'downsample') else x
        for i in range(1, self.count + 1):
            x = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(x))
            x = F.relu(x) if i < self.count else x
        return F.relu(x + shortcut)


class Reference(nn.Module):
    """``(N, 3, H, W)``, both sides multiples of 128, to P3 ... P7."""

    def __init__(self, endpoint=128):
        super().__init__()
        kinds, levels = [1, 1] + [row[1] for row in TABLE], [2, 2] + [row[0] for row in TABLE]
        channels = [WIDTHS[level] * (4 if kind else 1) for level, kind in zip(levels, kinds, strict=True)]
        self.conv1 = conv_norm(3, 64, 7, 2)
        self.init_block1 = nn.Sequential(Block(64, 41, True))
        self.init_block2 = nn.Sequential(Block(164, 41, True))
        self.merge_ops, self.scale_permuted_blocks = nn.ModuleList(), nn.ModuleList()
        for target, (level, kind, *parents) in enumerate(TABLE, 2):
            edges = []
            for parent in parents:
                mid = WIDTHS[levels[parent]] // 2
                edge = dict(squeeze_conv=conv_norm(channels[parent], mid, 1))
                if level > levels[parent]:
                    edge['downsample_conv'] = conv_norm(mid, mid, 3, 2)
                edges.append(nn.ModuleDict({**edge, 'expand_conv': conv_norm(mid, channels[target], 1)}))
            self.merge_ops.append(nn.ModuleDict({'resample_ops': nn.ModuleList(edges)}))
            self.scale_permuted_blocks.append(nn.Sequential(Block(channels[target], WIDTHS[level], kind)))
        self.endpoint_convs = nn.ModuleDict(
            {str(level): conv_norm(4 * WIDTHS[level], endpoint, 1) for level in range(3, 8)}
        )
        self.levels = levels

    def edge(self, layers, x, steps):
        x = run(layers['squeeze_conv'], x)
        if steps > 0:
            x = run(layers['downsample_conv'], x)
        if steps > 1:
            kernel = 3 if steps == 2 else 5
            x = F.max_pool2d(x, kernel, 2 ** (steps - 1), kernel // 2)
        if steps < 0:
            x = x.repeat_interleave(2**-steps, 2).repeat_interleave(2**-steps, 3)
        return run(layers['expand_conv'], x, act=False)

    def forward(self, image):
        x = F.max_pool2d(run(self.conv1, image), 3, 2, 1)
        features = [self.init_block1(x)]
        features.append(self.init_block2(features[0]))
        for target, (level, _, *parents) in enumerate(TABLE, 2):
            edges = self.merge_ops[target - 2]['resample_ops']
            x = sum(self.edge(e, features[p], level - self.levels[p]) for e, p in zip(edges, parents, strict=True))
            if target == 14:
                x = x + features[11]  # which nothing else reads
            features.append(self.scale_permuted_blocks[target - 2](F.relu(x)))
        outputs = {row[0]: feature for row, feature in zip(TABLE[-5:], features[-5:], strict=True)}
        return [run(self.endpoint_convs[str(level)], outputs[level], act=False) for level in range(3, 8)]


def randomised(network: nn.Module) -> nn.Module:
    """Statistics and affine parameters of the norms that are not 0 and 1."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@torch.no_grad()
def tensorflow_variables(network: Reference) -> dict[str, torch.Tensor]:
    """The same weights as the authors' code names and lays them out, endpoints and stem in one numbering."""
    found, counts = {}, {}

    def put(scope, conv, norm):
        number = counts.get(scope, 0)
        counts[scope] = number + 1
        suffix = f'_{number}' if number else ''
        found[f'{scope}/conv2d{suffix}/kernel'] = conv.weight.permute(2, 3, 1, 0).clone()
        for leaf, tensor in (('gamma', norm.weight), ('beta', norm.bias),
                             ('moving_mean', norm.running_mean), ('moving_variance', norm.running_var)):  # fmt: skip
            found[f'{scope}/batch_normalization{suffix}/{leaf}'] = tensor.clone()

    def put_block(scope, block):
        if hasattr(block, 'downsample'):
            put(scope, *block.downsample)
        for i in range(1, block.count + 1):
            put(scope, getattr(block, f'conv{i}'), getattr(block, f'bn{i}'))

    put('spinenet', network.conv1['conv'], network.conv1['bn'])
    put_block('spinenet', network.init_block1[0])
    put_block('spinenet', network.init_block2[0])
    for i, (merge, block) in enumerate(zip(network.merge_ops, network.scale_permuted_blocks, strict=True)):
        for j, edge in enumerate(merge['resample_ops']):
            for name in ('squeeze_conv', 'downsample_conv', 'expand_conv'):
                if name in edge:
                    scope = f'spinenet/sub_policy{i}/resample_with_alpha_resample_{i}_{j}'
                    put(scope, edge[name]['conv'], edge[name]['bn'])
        put_block(f'spinenet/sub_policy{i}/scale_permuted_block_{i + 2}', block[0])
    for level in range(3, 8):
        layer = network.endpoint_convs[str(level)]
        put('spinenet', layer['conv'], layer['bn'])
    return found
