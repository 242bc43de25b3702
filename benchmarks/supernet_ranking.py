"""Does a supernet of pyramids rank as training alone does? Networks of a search trained alone, their order compared.

``python -m benchmarks.supernet_ranking WORK_DIR --networks 12 --seeds 0 1 2``; called again it goes on.
"""

import argparse
import random
from pathlib import Path
from statistics import mean

from mmlight.nas.driver import read_trials
from mmlight.nas.export import open_search
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import network_config, train
from mmlight.nas.one_shot.ranking import kendall_tau
from mmlight.nas.report import table
from mmlight.runtime.train import set_epochs


def rank(work_dir: Path, networks: int, seeds: list[int], epochs: int | None, metric: str) -> None:
    """Print the table and Kendall's tau of each seed; the trainings lie in ``WORK_DIR/alone``."""
    search, space, log = open_search(work_dir)
    trials = [t for t in read_trials(log) if t.source == t.number and metric in t.metrics]
    chosen = sorted(random.Random(0).sample(trials, min(networks, len(trials))), key=lambda t: t.number)
    done = TrialLog(work_dir / 'alone' / 'trained.jsonl', dict(metric=metric, epochs=epochs))
    objective = search.search.objective
    for seed in seeds:
        for trial in chosen:
            if (trial.number, seed) in {(event['trial'], event['seed']) for event in done.of('trained')}:
                continue
            folder = work_dir / 'alone' / f'trial_{trial.number}_seed_{seed}'
            folder.mkdir(parents=True, exist_ok=True)
            cfg = network_config(space, trial.choices, objective.config, objective.get('options'))
            if epochs is not None:
                set_epochs(cfg, epochs)
            cfg.dump(folder / 'config.py')
            value = (train(folder / 'config.py', folder / 'training', seed) or {}).get(metric, 0.0)
            done.append(dict(event='trained', trial=trial.number, seed=seed, value=value))
    values = {(event['trial'], event['seed']): event['value'] for event in done.of('trained')}
    shared = [trial.metrics[metric] for trial in chosen]
    rows = [
        {'trial': t.number, 'MACs': f'{t.metrics["macs"]:,}', 'supernet': f'{t.metrics[metric]:.4f}',
         **{f'alone, seed {seed}': f'{values[t.number, seed]:.4f}' for seed in seeds}}
        for t in chosen
    ]  # fmt: skip
    print(*table(rows), sep='\n')
    for seed in seeds:
        print(f'seed {seed}: tau {kendall_tau(shared, [values[t.number, seed] for t in chosen]):.2f}')
    means = [mean(values[t.number, seed] for seed in seeds) for t in chosen]
    print(f'mean of the seeds: tau {kendall_tau(shared, means):.2f}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('--networks', type=int, default=12)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, help="of each training, instead of the supernet's")
    parser.add_argument('--metric', default='coco/bbox_mAP')
    rank(**vars(parser.parse_args()))


if __name__ == '__main__':
    main()
