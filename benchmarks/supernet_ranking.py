"""Does a supernet of pyramids rank as training alone does? Networks of a search are trained alone, and orders compared.

``python -m benchmarks.supernet_ranking WORK_DIR --networks 12 --seeds 0 1 2``; called again it goes on.
"""

import argparse
from pathlib import Path
from statistics import mean

from mmlight.nas.driver import read_trials
from mmlight.nas.export import open_search
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import network_config
from mmlight.nas.one_shot.ranking import kendall_tau
from mmlight.nas.report import table
from mmlight.nas.retrain import train_all
from mmlight.runtime.train import set_epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path, help='of the search')
    parser.add_argument('--networks', type=int, default=12)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, help="of each training, instead of the supernet's")
    parser.add_argument('--metric', default='coco/bbox_mAP')
    parser.add_argument('--workers', type=int, default=1, help='trainings at a time')
    args = parser.parse_args()
    search, space, log = open_search(args.work_dir)
    trials = [t for t in read_trials(log) if t.source == t.number and args.metric in t.metrics]
    trials.sort(key=lambda t: t.metrics[args.metric])
    # from the worst to the best in equal steps: a search evaluates good ones mostly, which differ by little
    places = range(min(args.networks, len(trials)))
    chosen = [trials[round(place * (len(trials) - 1) / max(1, len(places) - 1))] for place in places]
    objective, out = search.search.objective, args.work_dir / 'alone'
    configs: dict[str, Path] = {}
    TrialLog(out / 'settings.jsonl', dict(trials=[t.number for t in chosen], epochs=args.epochs, metric=args.metric))
    for trial in chosen:
        cfg = network_config(space, trial.choices, objective.config, objective.get('options'))
        if args.epochs is not None:
            set_epochs(cfg, args.epochs)
        configs[f'trial {trial.number}'] = out / f'trial_{trial.number}.py'
        cfg.dump(configs[f'trial {trial.number}'])
    values = train_all(configs, args.metric, out, args.seeds, args.workers, watch=print)
    shared = [trial.metrics[args.metric] for trial in chosen]
    rows = [
        {'trial': trial.number, 'MACs': f'{trial.metrics["macs"]:,}', 'supernet': f'{value:.4f}',
         **{f'alone, seed {seed}': f'{value:.4f}' for seed, value in zip(args.seeds, of_seeds, strict=True)}}
        for trial, value, of_seeds in zip(chosen, shared, values, strict=True)
    ]  # fmt: skip
    print(*table(rows), sep='\n')
    for seed, of_seed in zip(args.seeds, zip(*values, strict=True), strict=True):
        print(f'seed {seed}: tau {kendall_tau(shared, list(of_seed)):.2f}')
    print(f'mean of the seeds: tau {kendall_tau(shared, [mean(v) for v in values]):.2f}')


if __name__ == '__main__':
    main()
