"""Does a supernet of pyramids rank as training alone does? Networks of a search trained alone, their order compared.

``python -m benchmarks.supernet_ranking WORK_DIR --networks 12 --seeds 0 1 2``; called again it goes on.
"""

import argparse
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from statistics import mean

from mmengine.config import Config

from mmlight.nas.driver import read_trials
from mmlight.nas.export import open_search
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import network_config, train
from mmlight.nas.one_shot.ranking import kendall_tau
from mmlight.nas.report import table
from mmlight.runtime.train import set_epochs


def train_all(
    configs: Mapping[str, Config], seeds: list[int], log: TrialLog, metric: str, workers: int
) -> dict[tuple[str, int], float]:
    """Train each config with each seed, unless the log has it; its last ``metric`` by name and seed."""

    def one(name: str, seed: int) -> float:
        folder = log.path.parent / f'{name}_seed_{seed}'
        folder.mkdir(parents=True, exist_ok=True)
        configs[name].dump(folder / 'config.py')
        return (train(folder / 'config.py', folder / 'training', seed) or {}).get(metric, 0.0)

    known = {(event['name'], event['seed']) for event in log.of('trained')}
    wanted = [(name, seed) for seed in seeds for name in configs if (name, seed) not in known]
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(one, *key): key for key in wanted}
        for done in as_completed(running):
            name, seed = running[done]
            log.append(dict(event='trained', name=name, seed=seed, value=done.result()))
    return {(event['name'], event['seed']): event['value'] for event in log.of('trained')}


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('work_dir', type=Path, help='of the search')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, help="of each training, instead of the supernet's")
    parser.add_argument('--metric', default='coco/bbox_mAP')
    parser.add_argument('--workers', type=int, default=1, help='trainings at a time')
    return parser


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--networks', type=int, default=12)
    args = parser.parse_args()
    search, space, log = open_search(args.work_dir)
    trials = [t for t in read_trials(log) if t.source == t.number and args.metric in t.metrics]
    chosen = sorted(random.Random(0).sample(trials, min(args.networks, len(trials))), key=lambda t: t.number)
    objective = search.search.objective
    configs = {}
    for trial in chosen:
        cfg = network_config(space, trial.choices, objective.config, objective.get('options'))
        if args.epochs is not None:
            set_epochs(cfg, args.epochs)
        configs[f'trial_{trial.number}'] = cfg
    done = TrialLog(args.work_dir / 'alone' / 'trained.jsonl', dict(metric=args.metric, epochs=args.epochs))
    values = train_all(configs, args.seeds, done, args.metric, args.workers)
    shared = [trial.metrics[args.metric] for trial in chosen]
    rows = [
        {'trial': t.number, 'MACs': f'{t.metrics["macs"]:,}', 'supernet': f'{t.metrics[args.metric]:.4f}',
         **{f'alone, seed {seed}': f'{values[name, seed]:.4f}' for seed in args.seeds}}
        for name, t in zip(configs, chosen, strict=True)
    ]  # fmt: skip
    print(*table(rows), sep='\n')
    for seed in args.seeds:
        print(f'seed {seed}: tau {kendall_tau(shared, [values[name, seed] for name in configs]):.2f}')
    means = [mean(values[name, seed] for seed in args.seeds) for name in configs]
    print(f'mean of the seeds: tau {kendall_tau(shared, means):.2f}')


if __name__ == '__main__':
    main()
