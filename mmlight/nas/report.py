"""A search as Markdown and pictures."""

import os
from contextlib import ExitStack
from pathlib import Path

from mmlight.errors import InputError
from mmlight.nas.driver import Trial, read_trials
from mmlight.nas.export import open_search, ranked
from mmlight.nas.front import front, section
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import count, network_config
from mmlight.nas.spaces import SearchSpace


def best_so_far(trials: list[Trial]) -> list[Trial]:
    """The trials that were better than all before them."""
    found: list[Trial] = []
    for trial in trials:
        if trial.source == trial.number and (not found or (trial.reward or 0.0) > (found[-1].reward or 0.0)):
            found.append(trial)
    return found


def write(
    work_dir: str | os.PathLike,
    out: str | os.PathLike | None = None,
    top: int = 10,
    shape: tuple[int, int] | None = None,
    latency: bool = False,
) -> Path:
    """Write ``report.md`` and its pictures.

    Args:
        work_dir: Of the search.
        out: Folder to write to; by default ``WORK_DIR/report``.
        top: Rows of the table.
        shape: Height and width of the image for which parameters and multiply-adds are counted; None leaves them out.
        latency: Measure the networks of the table too, on this machine, in turns.

    Returns:
        The Markdown file.

    Raises:
        InputError: where ``work_dir`` holds no search, and for ``latency`` without a ``shape``.
    """
    if latency and shape is None:
        raise InputError('--latency: needs --shape, the image for which it is measured')
    search, space, log = open_search(work_dir)
    out = Path(out or Path(work_dir) / 'report')
    out.mkdir(parents=True, exist_ok=True)
    trials, best = read_trials(log), ranked(log)[:top]
    _plot_curves(log, trials, out / 'curves.png')
    drawn = _draw(space, best_so_far(trials), out / 'graphs.png')
    rows = [dict(rank=i, trial=t.number, reward=f'{t.reward:.4f}') for i, t in enumerate(best)]
    if shape is not None:
        configs = [network_config(space, t.choices, search.search.objective.config) for t in best]
        for row, cfg in zip(rows, configs, strict=True):
            parameters, macs = count(cfg, shape)
            row.update(parameters=f'{parameters:,}', MACs=f'{macs / 1e6:.1f} M')
        if latency:
            for row, milliseconds in zip(rows, _latencies(configs, shape), strict=True):
                row['latency'] = f'{milliseconds:.1f} ms'
    evaluated = [trial for trial in trials if trial.source == trial.number]
    lines = [
        f'# Search in {Path(work_dir).name}',
        '',
        f'{type(space).__name__} ({space.size:.3g} networks, {len(space.decisions)} decisions), '
        f'{log.events[0]["sampler"]["type"]}, seed {log.events[0]["seed"]}: {len(evaluated)} networks evaluated, '
        f'{len(trials)} sampled, {len(log.of("dropped"))} dropped.',
        '',
        '![rewards, networks and entropy](curves.png)',
        '',
        *table(rows),
        '',
    ]
    if front(trials):
        head, points = section(Path(work_dir), trials, search.search.objective.get('against') or 'macs', out)
        lines += [*head, *table(points), '']
        if _draw(space, front(trials), out / 'front_graphs.png'):
            lines += ['![graphs of the front](front_graphs.png)', '']
    if drawn:
        lines += ['The best network, each time a better one was found:', '', '![graphs](graphs.png)', '']
    path = out / 'report.md'
    path.write_text('\n'.join(lines))
    return path


def table(rows: list[dict]) -> list[str]:
    """Lines of a Markdown table; columns are those of the first row."""
    if not rows:
        return ['No network was evaluated.']
    head = list(rows[0])
    return [
        f'| {" | ".join(head)} |',
        f'|{"---|" * len(head)}',
        *(f'| {" | ".join(str(row[key]) for key in head)} |' for row in rows),
    ]


def _plot_curves(log: TrialLog, trials: list[Trial], path: Path) -> None:
    from matplotlib.figure import Figure

    generations = log.of('generation')
    has_entropy = any('entropy' in event for event in generations)
    figure = Figure(figsize=(12 if has_entropy else 8, 3.2), layout='constrained')
    axes = figure.subplots(1, 3 if has_entropy else 2)
    known = [(i, t.reward) for i, t in enumerate(trials) if t.reward is not None]
    best, top = [], None
    for index, reward in known:
        top = reward if top is None else max(top, reward)
        best.append((index, top))
    axes[0].plot([i for i, _ in known], [reward for _, reward in known], '.', color='0.7', label='sampled')
    axes[0].plot([i for i, _ in best], [reward for _, reward in best], color='tab:blue', label='best so far')
    axes[0].set(xlabel='sampled network', ylabel='reward')
    axes[0].legend()
    sampled = [event['sampled'] for event in generations]
    axes[1].plot(sampled, [event['unique'] for event in generations], color='tab:green')
    axes[1].set(xlabel='sampled networks', ylabel='different networks')
    if has_entropy:
        axes[2].plot(sampled, [event.get('entropy') for event in generations], color='tab:red')
        axes[2].set(xlabel='sampled networks', ylabel='entropy (nats)')
    figure.savefig(path, dpi=110)


def _some(best: list[Trial], limit: int = 6) -> list[Trial]:
    return best if len(best) <= limit else [best[i * (len(best) - 1) // (limit - 1)] for i in range(limit)]


def _draw(space: SearchSpace, best: list[Trial], path: Path) -> bool:
    return space.draw({f'trial {t.number}: {t.reward:.3f}': space.decode(t.choices) for t in _some(best)}, path)


def _latencies(configs: list, shape: tuple[int, int]) -> list[float]:
    from mmlight.measure.latency import measure_latency
    from mmlight.runtime.inference import build, inference

    with ExitStack() as stack:
        functions = {
            str(i): stack.enter_context(inference(build(cfg), tuple(shape)))[0] for i, cfg in enumerate(configs)
        }
        found = measure_latency(functions)
    return [found[str(i)].p50 for i in range(len(configs))]
