"""The feature graph: a multi-scale network's wiring as data.

FPN, PAFPN, BiFPN, NAS-FPN and SpineNet are all of this kind: features that come in, nodes that stand on a pyramid
level and merge earlier features, and some nodes that come out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from mmlight.errors import InputError
from mmlight.registry import MERGES, registered

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from mmlight.layers.merges import Merge

T = TypeVar('T', bound='DataclassInstance')


@dataclass(frozen=True)
class Node:
    """One merge of earlier features.

    Attributes:
        level: Pyramid level: the node's map has ``1 / 2 ** level`` of the image's size, rounded up.
        inputs: The features that it reads, by index: the graph's inputs come first, then its nodes in their order.
        merge: One of :data:`mmlight.registry.MERGES`.
        block: What follows the merge: in a neck one of :data:`mmlight.registry.BLOCKS`, in a backbone a kind that it
            knows; ``None`` for nothing.
        leftovers: Further features of the same level that are added to the merged ones as they are. NAS-FPN and
            SpineNet give an output node those that nothing else reads.
    """

    level: int
    inputs: tuple[int, ...]
    merge: str = 'sum'
    block: str | None = 'conv'
    leftovers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ('inputs', 'leftovers'):
            values = as_tuple(f'feature graph: {name} of a node', getattr(self, name))
            if not all(type(value) is int for value in values):
                raise InputError(f'feature graph: {name} of a node must be integers, got {list(values)}')
            object.__setattr__(self, name, values)

    @property
    def sources(self) -> tuple[int, ...]:
        """All features that the node reads."""
        return self.inputs + self.leftovers


@dataclass(frozen=True)
class FeatureGraph:
    """Nodes on pyramid levels, edges to earlier nodes, a merge rule for each.

    A graph that cannot be built does not exist: the constructor checks it.

    Attributes:
        inputs: Levels of the features that come in.
        nodes: The nodes, in the order in which they are computed.
        outputs: The features that come out, by index, in the order of their levels.

    Raises:
        InputError: naming the node and the rule that it breaks.
    """

    inputs: tuple[int, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ('inputs', 'nodes', 'outputs'):
            object.__setattr__(self, name, as_tuple(f'feature graph: {name}', getattr(self, name)))
        _check_inputs(self.inputs)
        for position, node in enumerate(self.nodes):
            _check_node(self, position, node)
        _check_outputs(self)
        _check_range_and_use(self)

    @property
    def levels(self) -> tuple[int, ...]:
        """The level of every feature: of the inputs first, then of the nodes."""
        return self.inputs + tuple(node.level for node in self.nodes)

    @property
    def output_levels(self) -> tuple[int, ...]:
        """The levels that come out, ascending."""
        return tuple(self.levels[index] for index in self.outputs)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """All edges ``(from, to)`` as indices of features."""
        first = len(self.inputs)
        return tuple((source, first + i) for i, node in enumerate(self.nodes) for source in node.sources)

    def needed(self, outputs: Iterable[int]) -> set[int]:
        """The features that must be computed for some of them to come out, these among them."""
        return needed(self.nodes, len(self.inputs), outputs)

    def name(self, index: int) -> str:
        """How messages and drawings call a feature: ``P5`` for an input, ``P5.2`` for the second node on level 5."""
        if index < len(self.inputs):
            return f'P{self.inputs[index]}'
        nodes = self.nodes[: index - len(self.inputs) + 1]
        return f'P{nodes[-1].level}.{sum(node.level == nodes[-1].level for node in nodes)}'

    def to_dict(self) -> dict:
        """The graph as plain dicts and lists, as they may stand in a config or a JSON file."""
        nodes = [
            {**asdict(node), 'inputs': list(node.inputs), 'leftovers': list(node.leftovers)} for node in self.nodes
        ]
        return {'inputs': list(self.inputs), 'nodes': nodes, 'outputs': list(self.outputs)}

    @classmethod
    def from_dict(cls, content: Mapping) -> FeatureGraph:
        """The graph of what :meth:`to_dict` returns.

        A node may also be a list of its attributes in their order; from ``merge`` on they can be left out.

        Raises:
            InputError: for missing or unknown keys, and for a graph that breaks a rule.
        """
        if not isinstance(content, Mapping) or set(content) != {'inputs', 'nodes', 'outputs'}:
            found = sorted(map(str, content)) if isinstance(content, Mapping) else repr(content)
            raise InputError(f'feature graph: needs a dict with inputs, nodes and outputs, got {found}')
        given = enumerate(as_tuple('feature graph: nodes', content['nodes']))
        nodes = tuple(from_content(Node, f'feature graph: node {position}', node) for position, node in given)
        return cls(content['inputs'], nodes, content['outputs'])


def needed(nodes: Sequence[Node], num_inputs: int, outputs: Iterable[int]) -> set[int]:
    """As :meth:`FeatureGraph.needed`, for nodes that do not form a graph yet."""
    found = set(outputs)
    for index in range(num_inputs + len(nodes) - 1, num_inputs - 1, -1):
        if index in found:
            found |= set(nodes[index - num_inputs].sources)
    return found


def from_content(kind: type[T], where: str, content: Mapping | Sequence | T) -> T:
    """An object of the dataclass ``kind``, from itself, a dict of its attributes or a list of them in their order.

    Raises:
        InputError: for missing or unknown keys, saying ``where``.
    """
    if isinstance(content, kind):
        return content
    needed = [field.name for field in fields(kind) if field.default is MISSING]
    optional = [field.name for field in fields(kind) if field.default is not MISSING]
    keys = needed + optional
    if isinstance(content, Mapping):
        values = dict(content)
    elif isinstance(content, Sequence) and not isinstance(content, str):
        values = dict(zip(keys, content, strict=False)) if len(content) <= len(keys) else {}
    else:
        values = {}
    if not set(needed) <= set(values) <= set(keys):
        more = f' and optionally {", ".join(optional)}' if optional else ''
        raise InputError(
            f'{where} must be a dict with {", ".join(needed)}{more}, or a list of them in this order, got {content!r}'
        )
    return kind(**values)


def as_tuple(what: str, values: Iterable) -> tuple:
    """What must be a list, as a tuple."""
    if not isinstance(values, Iterable) or isinstance(values, (str, Mapping)):
        raise InputError(f'{what} must be a list, got {values!r}')
    return tuple(values)


def find_merge(where: str, kind: object, inputs: Sequence[int]) -> type[Merge]:
    """The class of a merge.

    Raises:
        InputError: saying ``where``, for an unknown merge, or a number of inputs that it does not take.
    """
    merge: type[Merge] = registered(MERGES, kind, where)
    if len(inputs) < merge.least:
        raise InputError(f'{where}: merge {kind!r} needs at least {merge.least} input(s), got {list(inputs)}')
    if merge.most is not None and len(inputs) > merge.most:
        raise InputError(f'{where}: merge {kind!r} takes at most {merge.most} input(s), got {list(inputs)}')
    return merge


def _check_inputs(levels: Sequence[int]) -> None:
    if not levels or not all(isinstance(level, int) and level >= 0 for level in levels):
        raise InputError(f'feature graph: inputs must be one or more levels (integers from 0), got {levels!r}')


def _check_node(graph: FeatureGraph, position: int, node: Node) -> None:
    own = len(graph.inputs) + position
    where = f'feature graph: node {position} (feature {own}, level {node.level})'
    if not isinstance(node.level, int) or node.level < 0:
        raise InputError(f'feature graph: node {position} (feature {own}): level must be an integer from 0, '
                         f'got {node.level!r}')  # fmt: skip
    if node.block is not None and not isinstance(node.block, str):
        raise InputError(f'{where}: block must be a name or None, got {node.block!r}')
    find_merge(where, node.merge, node.inputs)
    if len(set(node.sources)) < len(node.sources):
        raise InputError(f'{where}: reads a feature twice, it reads {list(node.sources)}')
    for source in node.sources:
        if not isinstance(source, int) or not 0 <= source < own:
            raise InputError(f'{where}: reads feature {source!r}, allowed are earlier ones, 0 to {own - 1}')
    for source in node.leftovers:
        if graph.levels[source] != node.level:
            raise InputError(f'{where}: leftover {source} is of level {graph.levels[source]}, must be of its own')


def _check_outputs(graph: FeatureGraph) -> None:
    names = [f'feature {index}' for index in graph.outputs]
    for index, name in zip(graph.outputs, names, strict=True):
        if not isinstance(index, int) or not 0 <= index < len(graph.levels):
            raise InputError(f'feature graph: {name} cannot come out, the features are 0 to {len(graph.levels) - 1}')
    if not graph.outputs:
        raise InputError('feature graph: outputs must name at least one feature')
    levels = graph.output_levels
    doubled = [level for level, count in Counter(levels).items() if count > 1]
    if doubled:
        both = ' and '.join(name for name, level in zip(names, levels, strict=True) if level == doubled[0])
        raise InputError(f'feature graph: level {doubled[0]} comes out twice, as {both}')
    missing = sorted(set(range(min(levels), max(levels))) - set(levels))
    if missing:
        raise InputError(f'feature graph: no feature of level {missing[0]} comes out, but of {sorted(levels)}')
    if any(low > high for low, high in pairwise(levels)):
        raise InputError(f'feature graph: outputs must stand in the order of their levels, got levels {list(levels)}')


def _check_range_and_use(graph: FeatureGraph) -> None:
    low, high = min(graph.inputs + graph.output_levels), max(graph.inputs + graph.output_levels)
    used = {source for source, _ in graph.edges} | set(graph.outputs)
    for position, node in enumerate(graph.nodes):
        where = f'feature graph: node {position} (feature {len(graph.inputs) + position}, level {node.level})'
        if not low <= node.level <= high:
            raise InputError(f'{where}: its level is outside the range {low} to {high} of inputs and outputs')
        if len(graph.inputs) + position not in used:
            raise InputError(f'{where}: is unused, no node reads it and it does not come out')
