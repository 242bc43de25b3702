"""A config's model with weights in it, ready to predict, and the classes that it knows."""

import logging
import os
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS
from torch import nn

from mmlight.errors import InputError
from mmlight.runtime import checkpoint as ckpt
from mmlight.runtime.config import explain, innermost
from mmlight.runtime.strides import check_strides
from mmlight.weights.catalogue import catalogue, for_config
from mmlight.weights.download import get

NO_WEIGHTS = 'no --weights: the model has its initial weights, its predictions mean nothing'


def published_weights(
    cfg: Config, weights: str | os.PathLike | None, backbones: bool = False
) -> str | os.PathLike | None:
    """The file that ``weights`` means: a path, ``published`` (the catalogue's for this config) or a catalogue's name.

    Weights of a backbone alone are of use for training only (``backbones``). The config gets the settings that
    published weights need; whose they are is logged.

    Raises:
        InputError: nothing is published for this config, or the file cannot be had.
    """
    name = Path(cfg.filename or '').name.removesuffix('.py')
    if weights is None or (str(weights) != 'published' and str(weights) not in catalogue()):
        return weights
    entry = for_config(name) if str(weights) == 'published' else catalogue()[str(weights)]
    if entry is None:
        raise InputError(
            f'--weights published: the catalogue has none for the config {name}; see `mmlight weights list`'
        )
    if entry.use != 'model' and not backbones:
        raise InputError(f'--weights {weights}: these are of a backbone, for an init_cfg')
    file = get(entry.name)
    cfg.merge_from_dict(dict(entry.settings))
    print_log(f'weights of {entry.credit()}', 'current')
    return file


def build_model(cfg: Config, weights: str | os.PathLike | None) -> tuple[nn.Module, dict]:
    """The config's model in evaluation mode on mmengine's device, with ``weights`` in it, and its data set's meta.

    The meta (``classes``, ``palette``) comes from the checkpoint, else from the config's data set.
    """
    content = ckpt.load(weights, '--weights') if weights is not None else None
    try:
        model = MODELS.build(dict(cfg.model))
    except (TypeError, KeyError, ValueError, AssertionError, ImportError, RuntimeError) as error:
        raise explain(error, cfg) from error
    check_strides(model)
    if content is None:
        print_log(NO_WEIGHTS, 'current', logging.WARNING)
        model.init_weights()
    else:
        report = ckpt.check_fits(model, content, weights)
        if report:
            print_log(report, 'current', logging.WARNING)
        ckpt.load_into(model, content)
        odd = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
        if odd:
            raise InputError(
                f'--weights {weights}: {len(odd)} tensors hold NaN or infinite values, {odd[0]} is the first'
            )
    stored = (content or {}).get('meta') or {}
    meta = _named({str(k).lower(): v for k, v in (stored.get('dataset_meta') or {}).items()}) or dataset_meta(cfg)
    if get_device() == 'cpu':
        model = revert_sync_batchnorm(model)
    return model.to(get_device()).eval(), meta


def dataset_meta(cfg: Config) -> dict:
    """``classes`` and ``palette`` by the config alone: its ``metainfo``, else those of its data set's class."""
    dataset = innermost((cfg.get('test_dataloader') or {}).get('dataset') or {})
    kind = dataset.get('type')
    if isinstance(kind, str):
        # a name without a package is of the config's scope, which `get` does not follow by itself
        kind = DATASETS.get(kind if '.' in kind else f'{cfg.get("default_scope") or "mmengine"}.{kind}')
    meta = {**(getattr(kind, 'METAINFO', None) or {}), **(dataset.get('metainfo') or {})}
    return _named({str(key).lower(): value for key, value in meta.items()})


def _named(meta: dict) -> dict:
    """Class names that are numbers become strings."""
    names = meta.get('classes')
    return {**meta, 'classes': tuple(map(str, names))} if isinstance(names, (list, tuple)) else meta
