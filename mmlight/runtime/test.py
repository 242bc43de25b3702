"""Evaluation of detection and segmentation configs alike, on mmengine's Runner."""

import logging
import os
from collections.abc import Callable, Sequence

from mmengine.config import Config
from mmengine.logging import print_log

from mmlight.data.check import check_config_data
from mmlight.errors import InputError
from mmlight.runtime import checkpoint as ckpt
from mmlight.runtime.device import use_device
from mmlight.runtime.drawing import Drawing, enable_drawing, enable_out
from mmlight.runtime.model import published_weights
from mmlight.runtime.run import RunOptions, add_hooks, build_runner, plain_model, prepare, run
from mmlight.runtime.tta import enable_tta


def evaluate(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None,
    options: RunOptions = RunOptions(),
    out: str | os.PathLike | None = None,
    drawing: Drawing = Drawing(),
    tta: bool = False,
    changes: Sequence[Callable[[Config], None]] = (),
) -> dict:
    """Evaluate a checkpoint as mmdet's and mmseg's ``tools/test.py`` do.

    Args:
        config: path, name of a shipped config, or a loaded config.
        checkpoint: file, ``'published'``, a name in the catalogue of published weights, or None where one of
            ``changes`` brings a model with its weights.
        options: where and on what it runs.
        out: detection: ``*.pkl`` for all predictions; segmentation: folder for the predicted label images.
        drawing: pictures of the predictions.
        tta: test-time augmentation, by the config's ``tta_model`` and ``tta_pipeline``. By default a detector sees each
            image also flipped, a segmentor at six sizes, 0.5 to 1.75 of the test pipeline's, plain and flipped.
        changes: made to the config before the test pipeline is changed (:mod:`mmlight.deploy` has some).

    Returns:
        Metric name -> value.

    Raises:
        InputError: the config, the data, the checkpoint or an argument cannot work.
    """
    if checkpoint is None and not changes:
        raise InputError('checkpoint: give either a checkpoint or --onnx FILE')
    cfg = prepare(config, options)
    checkpoint = published_weights(cfg, checkpoint)
    content = None if checkpoint is None else ckpt.load(checkpoint)
    cfg.load_from, cfg.resume = checkpoint and str(checkpoint), False
    if drawing.show or drawing.show_dir:
        enable_drawing(cfg, drawing)
    for change in changes:
        change(cfg)
    if tta:
        enable_tta(cfg)
    if out is not None:
        enable_out(cfg, str(out))
    with use_device(options.device, options.launcher):
        check_config_data(cfg, ('test_dataloader',))
        add_hooks(cfg)
        runner = build_runner(cfg, 'test')
        report = content and ckpt.check_fits(plain_model(runner), content, checkpoint)
        if report:
            print_log(report, logger='current', level=logging.WARNING)
        return run(runner, runner.test)
