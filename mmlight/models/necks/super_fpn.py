"""A supernet of pyramids: the weights of all graphs of a search space in one neck (weight sharing as in once-for-all
networks, arXiv 1908.09791)."""

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.errors import InputError
from mmlight.layers import GraphExecutor, build_merge
from mmlight.layers.merges import WeightedMerge
from mmlight.registry import MERGES, MODELS, SPACES, registered
from mmlight.tables import FeatureGraph

KEPT = 16


@MODELS.register_module()
class SuperFPN(BaseModule):
    """Runs any graph of a space by weights that all of them share.

    A node's block is shared by all graphs that have the node, whatever it reads and on whatever level it stands; so are
    the 1x1 convolutions of the same edge, and the weights of the same merge of the same features. A narrower graph has
    the first channels. Narrow maps come out with zeros up to the widest, so that one head reads all: with a head whose
    first convolutions keep their first input channels only, the graph that is cut out gives the same.

    In training :class:`mmlight.nas.one_shot.PathSamplingHook` draws a graph a step.

    Args:
        space: Config of the search space, of :data:`mmlight.registry.SPACES`.
        neck: Config of the neck that takes its graphs, ``mmlight.GraphFPN`` or ``mmlight.NASFPN``; the graph, and
            width and repeats where the space decides them, are filled in.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for a space whose graphs do not fit the neck.
    """

    def __init__(self, space: dict, neck: dict, init_cfg: dict | list[dict] | None = None):
        super().__init__(init_cfg)
        options = dict(space)
        self.space = registered(SPACES, options.pop('type', None), 'SuperFPN: space')(**options)
        self.neck = {**copy.deepcopy(dict(neck)), 'with_cp': False}
        self.extremes = self.space.extremes()
        """The smallest and the largest graph, as decisions."""
        widest = self.settings(self.extremes[-1])
        graph = _complete(FeatureGraph.from_dict(widest['graph']))
        self.width = widest['out_channels']
        # a map that is as wide needs no 1x1 convolution in the widest graph, but in the others
        spare = int(self.width in widest['in_channels'])
        self.full = MODELS.build({**widest, 'graph': graph.to_dict(), 'out_channels': self.width + spare})
        self.out_channels, self.out_strides = (self.width,) * len(graph.outputs), self.full.out_strides
        for _, executor in _executors(self.full):
            for node in executor.nodes:
                node.merge = nn.ModuleDict(_merges(self.space.merges, node.inputs, self.width + spare))
        self._built: dict[tuple[int, ...], tuple[nn.Module, dict]] = {}
        for choices in self.extremes:
            self.set_graph(choices)

    @property
    def anchor(self) -> tuple[int, ...]:
        """The largest graph: what a validation in the training sees."""
        return self.extremes[-1]

    def settings(self, choices: Sequence[int]) -> dict:
        """The config of the stand-alone neck."""
        cfg = Config(dict(model=dict(neck=copy.deepcopy(self.neck), bbox_head=dict(in_channels=0))))
        self.space.apply(self.space.decode(choices), cfg)
        return cfg.model.neck.to_dict()

    def set_graph(self, choices: Sequence[int]) -> None:
        """Let a graph run from now on.

        Raises:
            InputError: for decisions that are not of the space, or a graph that the neck does not take.
        """
        choices = tuple(choices)
        if choices not in self._built:
            with torch.device('meta'):
                module = MODELS.build(self.settings(choices))
            if len(self._built) >= KEPT:
                self._built = {key: self._built[key] for key in self.extremes if key in self._built}
            self._built[choices] = module, _sources(module)
        self.path = choices

    set_path = set_graph

    def sample_path(self, rng: random.Random) -> tuple[int, ...]:
        """Decisions of a random graph that can be built."""
        while True:
            choices = self.space.sample(rng)
            try:
                self.settings(choices)
            except InputError:
                continue
            return choices

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers of the stand-alone neck of the graph that runs: parts of the shared ones."""
        module, sources = self._built[self.path]
        shared, found = self.full.state_dict(keep_vars=True), {}
        for name, wanted in module.state_dict(keep_vars=True).items():
            theirs, inputs = sources.get(name, (name, None))
            if theirs not in shared:
                raise InputError(f'SuperFPN: the space has no weights for {name} of {self.path}')
            tensor = shared[theirs]
            if inputs is not None:  # as a list they would be copied to the device at each step
                tensor = torch.stack([tensor[place] for place in inputs])
            found[name] = tensor[tuple(slice(size) for size in wanted.shape)]
        return found

    def cut(self) -> tuple[nn.Module, dict]:
        """The graph that runs as a neck of its own with copies of its weights, and the config of that neck."""
        settings = self.settings(self.path)
        module = MODELS.build(settings)
        module.load_state_dict({name: tensor.detach().clone() for name, tensor in self.tensors().items()}, assign=True)
        return module.train(self.training), settings

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The backbone's maps ``(N, C, H, W)`` to ``(N, widest, H, W)`` on every level of the graph; beyond the graph's
        width there are zeros."""
        module, sources = self._built[self.path]
        module.train(self.training)
        shared = dict(self.full.named_modules())
        for name, norm in module.named_modules():
            if isinstance(norm, _BatchNorm):  # it may measure its statistics anew
                theirs = shared[sources.get(f'{name}.weight', (f'{name}.weight',))[0].removesuffix('.weight')]
                norm.training, norm.momentum = theirs.training, theirs.momentum
        features = functional_call(module, self.tensors(), (inputs,))
        return tuple(F.pad(x, (0, 0, 0, 0, 0, self.width - x.shape[1])) for x in features)


def _complete(graph: FeatureGraph) -> FeatureGraph:
    """Each node reads all features before it, so all edges of all graphs with these nodes are there."""
    first = len(graph.inputs)
    nodes = (replace(n, inputs=tuple(range(first + i)), merge='sum', leftovers=()) for i, n in enumerate(graph.nodes))
    return replace(graph, nodes=tuple(nodes))


def _merges(names: Sequence[str], inputs: Sequence[int], channels: int) -> Mapping[str, nn.Module]:
    """Those that have weights, one an input."""
    weighted = [name for name in names if issubclass(registered(MERGES, name, 'SuperFPN: merges'), WeightedMerge)]
    return {name: build_merge(name, inputs, channels) for name in weighted}


def _executors(neck: nn.Module) -> Iterator[tuple[str, GraphExecutor]]:
    return ((name, module) for name, module in neck.named_modules() if isinstance(module, GraphExecutor))


def _sources(module: nn.Module) -> dict[str, tuple[str, tuple[int, ...] | None]]:
    """Of the tensors whose names differ: the name in the complete graph, and of a merge the features that it reads."""
    found = {}
    for name, executor in _executors(module):
        for position, (node, table) in enumerate(zip(executor.nodes, executor.graph.nodes, strict=True)):
            own = f'{name}.nodes.{position}.'
            for part in node.state_dict():
                kind, *rest = part.split('.')
                if kind == 'edges':
                    rest[0] = str(table.inputs[int(rest[0])])
                elif kind == 'merge':
                    rest.insert(0, table.merge)
                inputs = table.inputs if kind == 'merge' else None
                found[own + part] = own + '.'.join([kind, *rest]), inputs
    return found
