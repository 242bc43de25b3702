"""The front of a search for two goals: no other network is better and cheaper. As configs, weights and a picture."""

import os
from pathlib import Path
from typing import Any

from mmlight.nas.driver import Trial, read_trials
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import ProxyTraining, network_config
from mmlight.nas.samplers.pareto import pareto_front
from mmlight.runtime.checkpoint import AtomicBackend


def front(trials: list[Trial]) -> list[Trial]:
    """The trials on the front, the cheapest first."""
    known = [trial for trial in trials if trial.source == trial.number and 'values' in trial.metrics]
    return [known[index] for index in pareto_front([tuple(trial.metrics['values']) for trial in known])]


def write(work_dir: str | os.PathLike, objective: ProxyTraining) -> list[Path]:
    """Write ``WORK_DIR/front/trial_N.py`` for each network of the front, and where the objective has its weights
    ``trial_N.pth``.

    Returns:
        The configs, the cheapest first.
    """
    work_dir, configs = Path(work_dir), []
    folder = work_dir / 'front'
    for trial in front(read_trials(TrialLog(work_dir / 'trials.jsonl'))):
        config = folder / f'trial_{trial.number}.py'
        cfg = network_config(objective.space, trial.choices, objective.config, objective.options)
        AtomicBackend().put(cfg.pretty_text.encode(), config)
        if hasattr(objective, 'save') and not config.with_suffix('.pth').is_file():
            objective.save(trial.choices, work_dir, config.with_suffix('.pth'))
        configs.append(config)
    for old in folder.glob('trial_*'):  # of a front that has since been beaten
        if old.with_suffix('.py') not in configs:
            old.unlink()
    return configs


def section(work_dir: Path, trials: list[Trial], against: str, out: Path) -> tuple[list[str], list[dict]]:
    """Lines before the table of the front, and its rows; writes ``front.png``."""
    chosen = front(trials)
    _plot([t for t in trials if t.source == t.number and 'values' in t.metrics], chosen, against, out / 'front.png')
    rows = []
    for trial in chosen:
        value, cost = trial.metrics['values']
        config = f'front/trial_{trial.number}.py'
        rows.append({'config': f'`{config}`', 'value': f'{value:.4f}', against: f'{cost:,}',
                     'parameters': f'{trial.metrics["parameters"]:,}'})  # fmt: skip
    best = f'{work_dir}/front/trial_{chosen[-1].number}'
    weights = f' --weights {best}.pth' if Path(f'{best}.pth').is_file() else ''
    lines = [
        '## The front',
        '',
        f'No other network is better and has fewer {against}. To train one on: `mmlight train {best}.py{weights}`.',
        '',
        f'![value against {against}](front.png)',
        '',
    ]
    return lines, rows


def _plot(trials: list[Trial], chosen: list[Trial], against: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout='constrained')
    axes = figure.subplots()
    styles: tuple[tuple[list[Trial], dict[str, Any], str], ...] = (
        (trials, dict(marker='.', linestyle='', color='0.7'), 'evaluated'),
        (chosen, dict(marker='o', color='tab:blue'), 'front'),
    )
    for known, style, label in styles:
        values = [trial.metrics['values'] for trial in known]
        axes.plot([cost for _, cost in values], [value for value, _ in values], label=label, **style)
    for trial in {chosen[0].number: chosen[0], chosen[-1].number: chosen[-1]}.values():  # those between may lie close
        value, cost = trial.metrics['values']
        axes.annotate(str(trial.number), (cost, value), (4, -10), textcoords='offset points', fontsize=8)
    axes.set(xlabel=against, ylabel='value')
    axes.legend(loc='lower right')
    figure.savefig(path, dpi=110)
