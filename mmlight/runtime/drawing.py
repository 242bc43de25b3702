"""Pictures of predictions, and the files that a test leaves."""

import os
from dataclasses import dataclass

from mmengine.config import Config, ConfigDict

from mmlight.errors import InputError
from mmlight.runtime.config import is_segmentation


@dataclass(frozen=True)
class Drawing:
    """What a test draws.

    Attributes:
        show: open a window per picture, for ``wait_time`` seconds.
        show_dir: folder for the pictures, as mmdet's and mmseg's help texts have it: a relative one lies in the run's
            own folder, ``work_dir/<timestamp>``, an absolute one where it says.
    """

    show: bool = False
    show_dir: str | os.PathLike | None = None
    wait_time: float = 2


def enable_drawing(cfg: Config, drawing: Drawing) -> None:
    """Let the config's visualization hook draw."""
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise InputError('--show/--show-dir: the config has no default_hooks.visualization')
    hook.draw = True
    if drawing.show:
        hook.show, hook.wait_time = True, drawing.wait_time
    if is_segmentation(cfg):
        hook.interval = 1  # mmseg draws every 50th picture by default, mmdet each
    if drawing.show_dir and is_segmentation(cfg):
        _local_backend(cfg).img_save_dir = os.path.join('..', drawing.show_dir)  # it starts from the run's `vis_data`
    elif drawing.show_dir:
        hook.test_out_dir = str(drawing.show_dir)


def _local_backend(cfg: Config) -> ConfigDict:
    """The visualizer's backend that writes files, added where there is none."""
    backends = cfg.visualizer.get('vis_backends') or []
    found = next((one for one in backends if one.type == 'LocalVisBackend'), None)
    if found is None:
        found = ConfigDict(type='LocalVisBackend')
        cfg.visualizer.vis_backends = [*backends, found]
        found = cfg.visualizer.vis_backends[-1]
    return found


def enable_out(cfg: Config, out: str) -> None:
    """Keep a detector's predictions in a ``.pkl``, a segmentor's label images in a folder."""
    if not is_segmentation(cfg):
        if not out.endswith(('.pkl', '.pickle')):
            raise InputError(f'--out {out}: predictions of a detector go to a .pkl or .pickle file')
        evaluator = cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]
        cfg.test_evaluator = [*evaluator, ConfigDict(type='DumpDetResults', out_file_path=out)]
        return
    for metric in cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]:
        metric.output_dir, metric.keep_results = out, True
