"""From a search's log to a config that can be trained."""

import os
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.nas.driver import Trial, read_trials
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import put_network
from mmlight.nas.search import load_search, make_space
from mmlight.nas.spaces import SearchSpace
from mmlight.runtime.checkpoint import AtomicBackend
from mmlight.runtime.config import load_config

REPEATS = {
    'mmlight.NASFPN': 'stack_times',
    'mmlight.GraphFPN': 'num_cells',
    'mmlight.SpineNet': 'block_repeats',
    'mmlight.NASNet': 'num_cells',
}
WIDTHS = {
    'mmlight.NASFPN': 'out_channels',
    'mmlight.GraphFPN': 'out_channels',
    'mmlight.SpineNet': 'endpoint_channels',
    'mmlight.NASNet': 'channels',
}
"""What grows a network after the search: arguments of the modules that take one."""


def open_search(work_dir: str | os.PathLike) -> tuple[Config, SearchSpace, TrialLog]:
    """Config, space and log of a search.

    Raises:
        InputError: where the folder holds none.
    """
    work_dir = Path(work_dir)
    path = work_dir / 'trials.jsonl'
    if not path.is_file() or not (work_dir / 'search.py').is_file():
        raise InputError(f'WORK_DIR {work_dir}: holds no search (trials.jsonl and search.py)')
    cfg, log = load_search(work_dir / 'search.py'), TrialLog(path)
    if not log.events:
        raise InputError(f'WORK_DIR {work_dir}: its trials.jsonl is empty')
    return cfg, make_space(cfg), log


def ranked(log: TrialLog) -> list[Trial]:
    """Evaluated trials, the best first, each network once."""
    trials = [trial for trial in read_trials(log) if trial.source == trial.number]
    return sorted(trials, key=lambda trial: (-(trial.reward or 0.0), trial.number))


def network_of_rank(work_dir: str | os.PathLike, rank: int = 0) -> tuple[Config, SearchSpace, Any]:
    """Config and space of a search, and its network of a rank.

    Raises:
        InputError: for a rank that there is not.
    """
    search, space, log = open_search(work_dir)
    return search, space, space.decode(trial_of_rank(log, rank).choices)


def trial_of_rank(log: TrialLog, rank: int) -> Trial:
    """The trial of a rank.

    Raises:
        InputError: for a rank that there is not.
    """
    trials = ranked(log)
    if not 0 <= rank < len(trials):
        raise InputError(f'--rank {rank}: the search has {len(trials)} evaluated networks, the first is 0')
    return trials[rank]


def export(
    work_dir: str | os.PathLike,
    out: str | os.PathLike,
    rank: int = 0,
    config: str | os.PathLike | None = None,
    stack: int | None = None,
    width: int | None = None,
) -> Trial:
    """Write a config with the network of a rank.

    Args:
        work_dir: Of the search.
        out: File to write.
        rank: 0 for the best.
        config: Config that takes the network; by default the proxy's.
        stack: How often a pyramid, SpineNet's blocks or the normal cells are repeated (growing after the search).
        width: Channels of a pyramid or of SpineNet's outputs, and of the head that reads them, or of a cell network.

    Returns:
        The trial.

    Raises:
        InputError: for a rank that there is not, and a config that the network does not fit or that cannot grow so.
    """
    search, space, log = open_search(work_dir)
    trial = trial_of_rank(log, rank)
    cfg = load_config(config or search.search.objective.config)
    network = space.decode(trial.choices)
    put_network(space, network, cfg)
    if stack is not None:
        _set(cfg, space.part, 'stack', stack, REPEATS)
    if width is not None:
        _set(cfg, space.part, 'width', width, WIDTHS)
        if cfg.model.backbone.type == 'mmlight.NASNet':  # what the neck reads has changed
            space.apply(network, cfg)
        elif 'bbox_head' not in cfg.model:
            raise InputError('--width: model has no bbox_head that could get it; set the width in the config')
        else:
            for key in {'in_channels', 'feat_channels'} & set(cfg.model.bbox_head):
                cfg.model.bbox_head[key] = width
    AtomicBackend().put(cfg.pretty_text.encode(), out)
    return trial


def _set(cfg: Config, part: str, option: str, value: int, keys: dict[str, str]) -> None:
    settings = cfg.model[part]
    if settings.type not in keys:
        raise InputError(f'--{option}: model.{part} must be one of {", ".join(keys)}, got {settings.type}')
    if value < 1:
        raise InputError(f'--{option}: must be at least 1, got {value}')
    settings[keys[settings.type]] = value
