"""Every shipped config: it parses, its name and papers are in order, it trains and evaluates a step."""

import copy
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_project import environment

from mmlight.data.coco_folder import iter_class_counts
from mmlight.data.sample import generate
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build
from mmlight.runtime.strides import check_strides

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)
SMALL_DATA = ('sample', 'bccd', 'tiny-coco', 'custom-coco', 'custom-masks', 'camvid-seq05')
"""Data sets whose configs have no published schedule, so none in their names."""

every_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


@functools.cache
def loaded(path: Path) -> Config:
    """The config, read once for all tests: they read it, or change a copy."""
    return load_config(path)


@functools.cache
def parsed(file: Path) -> dict:
    return yaml.safe_load(file.read_text())


def family(path: Path) -> Path:
    return ROOT / 'configs' / path.relative_to(ROOT / 'configs').parts[0]


@pytest.fixture(scope='module')
def sample(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp('data') / 'sample', num_train=2, num_val=2, size=(192, 144), progress=False)


@pytest.fixture(autouse=True)
def own_folder(sample, monkeypatch):
    """The COCO folder from whose JSON the `custom-coco` configs read their classes."""
    monkeypatch.setenv('MMLIGHT_COCO', str(sample))


@every_config
def test_parses_with_its_own_bases(path):
    cfg = loaded(path)  # looks every `type` up
    assert 'mmlight' in cfg.custom_imports.imports
    assert any(hook.type == 'NumClassCheckHook' for hook in cfg.custom_hooks) or cfg.default_scope == 'mmseg'
    for line in re.findall(r"""_base_\s*=[^=]*?::""", path.read_text()):
        pytest.fail(f'base of another package: {line}')


@every_config
def test_three_levels_of_inheritance_at_most(path):
    def depth(file: Path) -> int:
        names: dict = {}
        for line in re.findall(r'^_base_ = (?:\[.*?\]|\S+)', file.read_text(), re.M | re.S):
            exec(line, names)
        bases = names.get('_base_', [])
        bases = [bases] if isinstance(bases, str) else bases
        return 1 + max((depth((file.parent / base).resolve()) for base in bases), default=0)

    assert depth(path) <= 3


@every_config
def test_name(path):
    """{model}_{backbone}_[neck]_[setting]_{schedule}_{dataset}"""
    part = r'[a-z0-9]+(?:[-.][a-z0-9]+)*'
    search = family(path).name == 'nas'  # its trials have a schedule, which is the proxy's
    schedule = '' if search or path.stem.endswith(SMALL_DATA) else r'\d+xb\d+-(?:crop\d+-)?\d+[ke]_'
    assert re.fullmatch(rf'{part}_{part}_(?:{part}_)*?{schedule}{part}', path.stem)


@every_config
def test_metafile_and_readme(path):
    metafile = family(path) / 'metafile.yml'
    assert metafile.relative_to(ROOT).as_posix() in parsed(ROOT / 'model-index.yml')['Import']
    entries = {model['Name']: model for model in parsed(metafile)['Models']}
    assert entries[path.stem]['Config'] == path.relative_to(ROOT).as_posix()
    assert path.stem in (family(path) / 'README.md').read_text()


def shrunk(path: Path, sample: Path) -> Config:
    """The config on two pictures of the sample data set, resized to 128 pixels; pipelines otherwise untouched."""
    cfg = copy.deepcopy(loaded(path))
    segmentor = cfg.default_scope == 'mmseg'
    metainfo = load_config('thundernet_snet49_sample').metainfo
    # the coarsest level needs a pixel of its own
    anchors = cfg.model.get('bbox_head', {}).get('anchor_generator', {})
    side = max(128, int(max(anchors.get('strides', [0]))))
    for phase in ('train', 'val', 'test'):
        loader, split = cfg[f'{phase}_dataloader'], 'train' if phase == 'train' else 'val'
        dataset = loader.dataset
        while 'pipeline' not in dataset:
            dataset = dataset.get('dataset') or dataset.datasets[0]
        for transform in dataset.pipeline:
            new = dict(scale=(side, side), scales=[(side, side)], crop_size=(side, side), num_classes=19)
            for key, value in new.items():
                if key in transform:
                    transform[key] = value
        loader.update(num_workers=0, persistent_workers=False, batch_size=2, sampler=dict(type='DefaultSampler'))
        loader.pop('batch_sampler', None)
        if segmentor:
            folders = dict(img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}')
            loader.dataset = dict(type='CityscapesDataset', data_prefix=folders)
        else:
            loader.dataset = dict(type='CocoDataset', metainfo=metainfo, test_mode=split == 'val',
                                  data_prefix=dict(img=f'leftImg8bit/{split}/'),
                                  ann_file=f'annotations/instances_{split}.json')  # fmt: skip
        loader.dataset.update(data_root=f'{sample}/', pipeline=dataset.pipeline)
    if segmentor:
        cfg.model.data_preprocessor.size = (side, side)
        for _, head in iter_class_counts(cfg.model):
            head.num_classes = 19
        return cfg
    if cfg.model.data_preprocessor.get('pad_size_divisor', 1) > 1:
        cfg.model.data_preprocessor.pad_size_divisor = side
    cfg.val_evaluator = dict(type='CocoMetric', metric='bbox', ann_file=f'{sample}/annotations/instances_val.json')
    cfg.model.backbone.pop('init_cfg', None)
    cfg.load_from = None  # a search's supernet
    test_cfg = cfg.model.test_cfg.get('rcnn', cfg.model.test_cfg)
    test_cfg.score_thr = 0.0  # COCO's evaluation gives nothing where nothing is found
    head = cfg.model.roi_head.bbox_head if 'roi_head' in cfg.model else cfg.model.bbox_head
    head.num_classes = len(metainfo['classes'])
    if 'rpn' in cfg.model.get('train_cfg', {}):
        cfg.model.train_cfg.rpn.allowed_border = -1  # anchors are larger than these pictures
    if head.type == 'mmlight.RFCNBBoxHead':  # a map for each class and bin
        cfg.model.neck.out_channels = 49 * (head.num_classes + 5)
        cfg.model.roi_head.bbox_roi_extractor.out_channels = head.num_classes + 5
    if 'mask_head' in cfg.model.get('roi_head', {}):
        cfg.model.roi_head.mask_head.num_classes = head.num_classes
    return cfg


SMALLEST = {
    'cr_nas': 'faster-rcnn_r18_sample',
    'light_head_rcnn': 'light-head-rcnn_xception-s_8xb2-125k_coco',
    'mobilenet': 'ssdlite_mobilenet-v2_8xb24-600e_coco-320',
    'nas': 'nas-fpn_shufflenet-v2_sample',
    'rfcn': 'rfcn_shufflenet-v2_bccd',
    'shufflenet': 'ssdlite_shufflenet-v2-x1_8xb24-600e_coco-320',
    'spinenet': 'retinanet_spinenet-mobile-49xs_8xb32-crop256-500e_coco',
}
"""What stands for a family without one config for the sample data set, or where that is not the quickest."""


def quick(path: Path) -> bool:
    """One config of each family; `-m long` has them all."""
    return path.stem == SMALLEST.get(family(path).name, '') or (
        family(path).name not in SMALLEST and path.stem.endswith('_sample')
    )


def test_every_family_has_a_quick_config():
    assert {family(path) for path in CONFIGS if quick(path)} == {family(path) for path in CONFIGS}


quick_or_long = pytest.mark.parametrize(
    'path', [pytest.param(path, id=path.stem, marks=() if quick(path) else pytest.mark.long) for path in CONFIGS]
)


@quick_or_long
def test_builds(path):
    model = build(copy.deepcopy(loaded(path)))  # mmdet's two-stage detectors write into their config
    assert sum(p.numel() for p in model.parameters()) > 0
    check_strides(model)


@quick_or_long
def test_a_step_of_training_and_of_validation(path, sample, tmp_path):
    cfg = shrunk(path, sample)
    cfg.work_dir = str(tmp_path)
    cfg.default_hooks.checkpoint.save_best = None  # nothing is saved without training
    cfg.experiment_name = f'{path.stem}_step'
    cfg.log_level = 'ERROR'
    torch.manual_seed(0)
    runner = Runner.from_cfg(cfg)
    batch = next(iter(runner.build_dataloader(cfg.train_dataloader)))
    assert len(batch['inputs']) == 2
    runner.model.train()
    losses = runner.model(**runner.model.data_preprocessor(batch, True), mode='loss')
    loss, _ = runner.model.parse_losses(losses)
    assert torch.isfinite(loss)
    loss.backward()
    runner.build_optim_wrapper(cfg.optim_wrapper)
    trained = {name: p.grad for name, p in runner.model.named_parameters() if p.requires_grad}
    if not cfg.get('find_unused_parameters'):
        assert [name for name, grad in trained.items() if grad is None] == []
    assert all(torch.isfinite(grad).all() for grad in trained.values() if grad is not None)
    # an untrained deep network moves its boxes out of the image, and COCO's evaluation gives nothing without any box
    for name, parameter in runner.model.named_parameters():
        if 'reg' in name:
            parameter.data.zero_()
    assert {'coco/bbox_mAP', 'mIoU'} & set(runner.val())


def three_steps_on_two_processes(cfg: Config, folder: Path) -> subprocess.CompletedProcess:
    """The second step fails where the first left a parameter without a gradient, unless a config looks for those."""
    cfg.model.backbone.pop('init_cfg', None)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=3, val_interval=100)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.param_scheduler, cfg.default_hooks.checkpoint = [], dict(type='CheckpointHook', by_epoch=False, interval=100)
    cfg.pop('find_unused_parameters', None)
    (folder / 'config.py').write_text(cfg.pretty_text)
    command = ['bash', ROOT / 'tools/dist_train.sh', folder / 'config.py', '2', '--work-dir', folder / 'run']
    variables = {**environment(), 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1'}
    return subprocess.run(
        [*command, '--no-report'], env=variables, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.long
@pytest.mark.parametrize('path', [pytest.param(path, id=family(path).name) for path in CONFIGS if quick(path)])
def test_two_processes_train_every_parameter(path, sample, tmp_path):
    done = three_steps_on_two_processes(shrunk(path, sample), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


@every_config
def test_epochs_end(path):
    """An endless sampler goes with a loop that counts iterations."""
    cfg = loaded(path)
    endless = cfg.train_dataloader.sampler.type == 'InfiniteSampler'
    assert endless == (cfg.train_cfg.type == 'IterBasedTrainLoop')
