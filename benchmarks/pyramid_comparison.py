"""What a search on a supernet finds beside a random search of the same cost and known pyramids of the same size.

All are trained from nothing by one schedule, and judged on the test split.

``python -m benchmarks.pyramid_comparison WORK_DIR --random WORK_DIR_OF_A_SEARCH --epochs 50``; called again it goes on.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

from mmengine.config import Config

from benchmarks.supernet_ranking import arguments, train_all
from mmlight.nas.export import open_search, ranked, trial_of_rank
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import count, network_config
from mmlight.nas.report import table
from mmlight.runtime.train import set_epochs

KNOWN = {'FPN': ('fpn', 1), 'BiFPN': ('bifpn', 2), 'NAS-FPN': ('nas_fpn', 1)}
"""Graphs and how often they are repeated; their width is what the multiply-adds allow."""


def of_equal_size(like: Config, graph: str, num_cells: int, shape: tuple[int, int]) -> Config:
    """A known pyramid in a found network's place, of the least width at which it has no fewer multiply-adds."""
    macs = count(like, shape)[1]

    def of_width(width: int) -> Config:
        cfg = Config(like.to_dict())
        cfg.model.neck.update(graph=graph, num_cells=num_cells, out_channels=width)
        cfg.model.bbox_head.in_channels = width
        return cfg

    return of_width(_first(lambda width: count(of_width(width), shape)[1] >= macs))


def _first(holds: Callable[[int], bool], low: int = 1, high: int = 256) -> int:
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--random', type=Path, required=True, help='folder of a random search')
    parser.add_argument('--best', type=int, default=1, help='networks of the search to train')
    args = parser.parse_args()
    search, space, log = open_search(args.work_dir)
    objective = search.search.objective
    shape = tuple(objective.shape)

    def found(trial) -> Config:
        return network_config(space, trial.choices, objective.config, objective.get('options'))

    most = max(trial.metrics[args.metric] for trial in ranked(log) if args.metric in (trial.metrics or {}))
    of_search = [t for t in ranked(log) if args.metric in (t.metrics or {})]
    of_search = sorted(of_search, key=lambda t: -t.metrics[args.metric])[: args.best]
    configs = {f'found {trial.number}': found(trial) for trial in of_search}
    print(f'best of the search by the shared weights: {most:.4f}')
    first = next(iter(configs.values()))
    configs['random search'] = found(trial_of_rank(open_search(args.random)[2], 0))
    for name, (graph, num_cells) in KNOWN.items():
        configs[name] = of_equal_size(first, graph, num_cells, shape)
    for cfg in configs.values():
        cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, cfg.test_evaluator
        if args.epochs is not None:
            set_epochs(cfg, args.epochs)
    done = TrialLog(args.work_dir / 'compared' / 'trained.jsonl', dict(metric=args.metric, epochs=args.epochs))
    folders = {name.replace(' ', '_').lower(): cfg for name, cfg in configs.items()}
    values = train_all(folders, args.seeds, done, args.metric, args.workers)
    rows = []
    for name, folder in zip(configs, folders, strict=True):
        parameters, macs = count(configs[name], shape)
        of_seeds = [values[folder, seed] for seed in args.seeds]
        error = stdev(of_seeds) / len(of_seeds) ** 0.5 if len(of_seeds) > 1 else float('nan')
        of_network = {'network': name, 'MACs': f'{macs:,}', 'parameters': f'{parameters:,}'}
        rows.append({**of_network, 'test': f'{mean(of_seeds):.4f} ± {error:.4f}'})
        rows[-1] |= {f'seed {seed}': f'{value:.4f}' for seed, value in zip(args.seeds, of_seeds, strict=True)}
    print(*table(rows), sep='\n')


if __name__ == '__main__':
    main()
