"""Regret of the samplers on NAS-Bench-Graph (arXiv 2206.09166), 26,206 graph neural networks trained on nine data sets.

The tables come with `pip install nas-bench-graph`. `python -m benchmarks.nas_bench_graph --seeds 30 --out regret.png`
"""

from functools import lru_cache

import numpy as np
from matplotlib.figure import Figure

from benchmarks.sampler_problems import PlainSpace
from mmlight.arguments import Parser
from mmlight.errors import InputError, exit_on_input_error
from mmlight.nas.samplers import LocalSearch, RandomSampler, RegularizedEvolution, RNNController, Sampler
from mmlight.nas.samplers.base import Choices
from mmlight.nas.spaces import Decision

DATASETS = ('arxiv', 'cora', 'citeseer', 'pubmed', 'computers', 'photo', 'cs', 'physics', 'proteins')


def _package():
    try:
        import nas_bench_graph.architecture
    except ImportError:
        raise InputError('benchmarks: NAS-Bench-Graph is not installed; pip install nas-bench-graph') from None
    return nas_bench_graph


class GraphNetworkSpace(PlainSpace):
    """How four layers are connected, and the operation of each. Equal networks have one key, the benchmark's number.

    Args:
        proteins: The smaller choice of operations that the data set of this name has.

    Raises:
        InputError: where the package is not installed.
    """

    def __init__(self, proteins: bool = False):
        architecture = _package().architecture
        self.arch, self.proteins = architecture.Arch, proteins
        self.links = architecture.link_list
        self.operations = architecture.gnn_list_proteins if proteins else architecture.gnn_list
        operations = (Decision(f'operation {i}', len(self.operations)) for i in range(4))
        self.decisions = (Decision('links', len(self.links)), *operations)
        self.permutation = False
        self.number = lru_cache(None)(self._number)

    def _number(self, choices: Choices) -> int:
        arch = self.arch(self.links[choices[0]][:], [self.operations[i] for i in choices[1:]])
        arch.move_skip_op()
        arch.equalpart_sort()
        return arch.hash_arch(self.proteins)

    def key(self, choices: Choices) -> str:
        return str(self.number(tuple(choices)))


def table(dataset: str) -> tuple[GraphNetworkSpace, dict[str, float]]:
    """The space, and the validation accuracy in [0, 1] of each network on a data set by its key.

    Raises:
        InputError: for another data set, and where the package is not installed.
    """
    if dataset not in DATASETS:
        raise InputError(f'data set: must be of {", ".join(DATASETS)}, got {dataset!r}')
    rows = _package().light_read(dataset)
    return GraphNetworkSpace(dataset == 'proteins'), {str(key): float(row['valid_perf']) for key, row in rows.items()}


def regrets(space: GraphNetworkSpace, accuracy: dict[str, float], sampler: Sampler, networks: int, seed: int) -> list:
    """What the best of the first 1, 2, ... different networks lacks of the best one of all; four are asked at a time.

    Shorter than ``networks`` where the sampler has nothing new in ten times as many proposals.
    """
    best, seen, lacking, asked, optimum = 0.0, set(), [], 0, max(accuracy.values())
    while len(lacking) < networks and asked < 10 * networks:
        proposed = sampler.ask(4, seed * 1_000_003 + asked)
        asked += len(proposed)
        values = [accuracy.get(space.key(choices), 0.0) for choices in proposed]
        for choices, value in zip(proposed, values, strict=True):
            if (key := space.key(choices)) not in seen:
                seen.add(key)
                best = max(best, value)
                lacking.append(optimum - best)
        sampler.tell(proposed, values)
    return lacking[:networks]


SAMPLERS = {
    'random': lambda space, seed: RandomSampler(space),
    'evolution': lambda space, seed: RegularizedEvolution(space),
    'local search': lambda space, seed: LocalSearch(space),
    'controller': lambda space, seed: RNNController(space, seed=seed),
}


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument('datasets', nargs='*', help='default: arxiv cora citeseer pubmed')
    parser.add_argument('--samplers', nargs='+', default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument('--seeds', type=int, default=20, help='runs of each (default 20)')
    parser.add_argument('--out', help='picture of the regrets, mean and standard error over seeds')
    args = parser.parse_args()
    curves = {}
    print('| data set | sampler | regret x 100 at 100 | at 300 | runs that stopped short |\n|---|---|---|---|---|')
    for dataset in args.datasets or ('arxiv', 'cora', 'citeseer', 'pubmed'):
        space, accuracy = table(dataset)
        for name in args.samplers:
            found = [regrets(space, accuracy, SAMPLERS[name](space, seed), 300, seed) for seed in range(args.seeds)]
            full = 100 * np.array([run + run[-1:] * (300 - len(run)) for run in found])
            curves[dataset, name] = mean, error = full.mean(0), full.std(0, ddof=1) / len(full) ** 0.5
            at = ' | '.join(f'{mean[i - 1]:.2f} ± {error[i - 1]:.2f}' for i in (100, 300))
            print(f'| {dataset} | {name} | {at} | {sum(len(run) < 300 for run in found)} |', flush=True)
    if args.out:
        draw(curves, args.out)


def draw(curves: dict, out: str) -> None:
    """One field for each data set, one line with its band for each sampler."""
    datasets = list(dict.fromkeys(dataset for dataset, _ in curves))
    figure = Figure(figsize=(4 * len(datasets), 3.2), layout='constrained')
    for axes, dataset in zip(figure.subplots(1, len(datasets), squeeze=False)[0], datasets, strict=True):
        for (of, name), (mean, error) in curves.items():
            if of == dataset:
                (line,) = axes.plot(range(1, 301), mean, label=name)
                axes.fill_between(range(1, 301), mean - error, mean + error, color=line.get_color(), alpha=0.2)
        axes.set(title=dataset, xlabel='different networks', ylabel='regret x 100', ylim=(0, 3))
    axes.legend()
    figure.savefig(out, dpi=110)


if __name__ == '__main__':
    exit_on_input_error(main)
