"""NAS-Bench-Graph (arXiv 2206.09166): 26,206 graph neural networks, each trained on nine data sets, as problems for
samplers. The tables come with `pip install nas-bench-graph`."""

from collections.abc import Sequence
from functools import lru_cache

from benchmarks.sampler_problems import Benchmark
from mmlight.errors import InputError
from mmlight.nas.spaces import Decision, DecisionSpace

DATASETS = ('arxiv', 'cora', 'citeseer', 'pubmed', 'computers', 'photo', 'cs', 'physics', 'proteins')


def _package():
    try:
        import nas_bench_graph
    except ImportError:
        raise InputError('benchmarks: NAS-Bench-Graph is not installed; pip install nas-bench-graph') from None
    return nas_bench_graph


class GraphNetworkSpace(DecisionSpace):
    """How four layers are connected, and the operation of each. Equal networks have one number, the benchmark's.

    Args:
        proteins: The smaller choice of operations that the data set of this name has.
    """

    def __init__(self, proteins: bool = False):
        from nas_bench_graph import architecture

        self.links = architecture.link_list
        self.operations = architecture.gnn_list_proteins if proteins else architecture.gnn_list
        self.proteins = proteins
        self.decisions = (
            Decision('links', len(self.links)),
            *(Decision(f'operation {i}', len(self.operations)) for i in range(4)),
        )
        self.number = lru_cache(None)(self._number)

    def _number(self, choices: tuple[int, ...]) -> int:
        from nas_bench_graph.architecture import Arch

        arch = Arch(self.links[choices[0]][:], [self.operations[i] for i in choices[1:]])
        arch.move_skip_op()
        arch.equalpart_sort()
        return arch.hash_arch(self.proteins)

    def decode(self, choices: Sequence[int]) -> int:
        return self.number(tuple(choices))

    def encode(self, architecture: int) -> tuple[int, ...]:
        raise NotImplementedError

    def to_dict(self, architecture: int) -> dict:
        return {'number': architecture}


def table(dataset: str) -> Benchmark:
    """The validation accuracy on a data set, in [0, 1].

    Raises:
        InputError: where the package is not installed.
    """
    rows = _package().light_read(dataset)
    space = GraphNetworkSpace(dataset == 'proteins')
    rewards = {number: float(row['valid_perf']) for number, row in rows.items()}
    return Benchmark(
        space, lambda choices: rewards.get(space.decode(choices), 0.0), max(rewards.values()), 300, 0.0, 0.0
    )
