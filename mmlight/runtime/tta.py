"""Test-time augmentation by the config's own settings or by the libraries' usual ones."""

from mmengine.config import Config, ConfigDict

from mmlight.errors import InputError
from mmlight.runtime.config import is_segmentation, test_dataset

TTA_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Sizes of an image in a segmentor's test-time augmentation, those of mmseg's configs and of BiSeNet's authors."""


def enable_tta(cfg: Config) -> None:
    """By the config, else a detector sees each image also flipped, a segmentor at ``TTA_RATIOS``, plain and flipped."""
    dataset = test_dataset(cfg)
    pipeline = cfg.get('tta_pipeline')
    if is_segmentation(cfg):
        cfg.model = ConfigDict(cfg.get('tta_model') or {'type': 'SegTTAModel'}, module=cfg.model)
        dataset.pipeline = pipeline or _scales_and_flip(dataset.pipeline)
        return
    if pipeline is None:
        pack = dict(dataset.pipeline[-1])
        pack['meta_keys'] = (
            'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction',
        )  # fmt: skip
        flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (1.0, 0.0)]
        pipeline = [*dataset.pipeline[:-1], {'type': 'TestTimeAug', 'transforms': [flips, [pack]]}]
    nms = {'type': 'nms', 'iou_threshold': 0.5}
    default = {'type': 'DetTTAModel', 'tta_cfg': {'nms': nms, 'max_per_img': 100}}
    cfg.model = ConfigDict(cfg.get('tta_model') or default, module=cfg.model)
    dataset.pipeline = pipeline


def _scales_and_flip(pipeline: list[ConfigDict]) -> list[dict]:
    """A segmentor's test pipeline with its ``Resize`` at each of ``TTA_RATIOS``, and each image also flipped."""
    at = next((i for i, step in enumerate(pipeline) if step.type == 'Resize' and 'scale' in step), None)
    if at is None:
        raise InputError('--tta: the config has no tta_pipeline, and its test pipeline no Resize with a scale')
    scale = pipeline[at].scale
    sizes = [tuple(round(side * ratio) for side in scale) for ratio in TTA_RATIOS]
    flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (0.0, 1.0)]
    choices = [[{**pipeline[at], 'scale': size} for size in sizes], flips, *([step] for step in pipeline[at + 1 :])]
    return [*pipeline[:at], {'type': 'TestTimeAug', 'transforms': choices}]
