"""mmdet's and mmseg's own tools, inferencers and functions, outside the repository, where the wheel is installed."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from test_tools.test_train_test import free_port
from tiny_project import project

SITE = Path(sysconfig.get_path('purelib'))
TINY_COCO = Path(os.environ.get('MMLIGHT_DATA', Path(__file__).parents[2] / 'shared' / 'data')) / 'tiny_coco'
# what mim's commands import; it looks packages up by pkg_resources
MIM = ['openmim', 'model-index', 'ordered-set', 'pandas', 'tabulate', 'colorama', 'setuptools<81']
DETECTORS = {
    'stock': 'mmdet/.mim/configs/ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py',
    'shipped': 'mmlight/.mim/configs/shufflenet/ssdlite_shufflenet-v2-x1_8xb24-600e_coco-320.py',
}
SEGMENTORS = {
    'stock': 'mmseg/.mim/configs/fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py',
    'shipped': 'mmlight/.mim/configs/dfanet/dfanet_a_4xb12-80k_cityscapes-512x1024.py',
}
EVALUATORS = ('val_evaluator', 'test_evaluator')
CASES = [(host, kind) for host in ('mmdet', 'mmseg') for kind in ('stock', 'shipped')]
INFER = {
    'mmdet': """
import sys
config, weights, image = sys.argv[1:]
from mmdet.apis import DetInferencer, inference_detector, init_detector
found = DetInferencer(config, weights, device='cpu')(image, out_dir='found', no_save_pred=False)['predictions'][0]
again = inference_detector(init_detector(config, weights, device='cpu'), image).pred_instances
assert len(found['scores']) == len(again.scores) > 0
assert max(abs(a - b) for a, b in zip(found['scores'], again.scores.tolist())) < 1e-5
""",
    'mmseg': """
import sys
config, weights, image = sys.argv[1:]
from mmseg.apis import MMSegInferencer, inference_model, init_model
found = MMSegInferencer(config, weights, device='cpu')(image, out_dir='found')['predictions']
again = inference_model(init_model(config, weights, device='cpu'), image).pred_sem_seg.data[0].numpy()
assert found.shape == again.shape == (96, 128) and (found == again).all()
""",
}


def coco(folder: Path) -> Path:
    """A folder in COCO's layout: `tiny_coco` where it is there, else four photos with boxes of two classes."""
    if TINY_COCO.is_dir() or folder.is_dir():
        return TINY_COCO if TINY_COCO.is_dir() else folder
    categories = [dict(id=number, name=name) for number, name in enumerate(CocoDataset.METAINFO['classes'], 1)]
    (folder / 'annotations').mkdir(parents=True)
    for split in ('train2017', 'val2017'):
        (folder / split).mkdir()
        images, boxes = [], []
        for number in range(1, 5):
            photo = np.random.default_rng(number).integers(0, 256, (96, 128, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / split / f'{number}.png'), photo)
            images.append(dict(id=number, file_name=f'{number}.png', width=128, height=96))
            for label in (1, 2):
                box = dict(image_id=number, category_id=label, bbox=[10 * label, 20, 60, 50], area=3000, iscrowd=0)
                boxes.append(dict(id=len(boxes) + 1, **box))
        contents = dict(images=images, annotations=boxes, categories=categories)
        (folder / 'annotations' / f'instances_{split}.json').write_text(json.dumps(contents))
    return folder


def options(host: str, kind: str, folder: Path) -> list[str]:
    """A config's own network, pipelines and schedule on the small data: one epoch, or two updates."""
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    few = [
        f'train_dataloader.{cut}'
        for cut in ('batch_size=2', 'num_workers=0', 'persistent_workers=False', 'drop_last=True')
    ]
    if host == 'mmseg':
        few += [f'{loader}.dataset.data_root={project()}/data' for loader in loaders]
        return [*few, 'train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    root = coco(folder)
    inner = {loader: f'{loader}.dataset' for loader in loaders}
    if kind == 'stock':  # which repeats the data set
        inner['train_dataloader'] += '.dataset'
        few.append('train_dataloader.dataset.times=1')
    few += [f'{dataset}.data_root={root}/' for dataset in inner.values()]
    few += [f'{evaluator}.ann_file={root}/annotations/instances_val2017.json' for evaluator in EVALUATORS]
    # so that there is something to find after so few updates
    return [*few, 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'model.test_cfg.score_thr=0.0']


def run(env: dict[str, str], folder: Path, *command: object) -> str:
    done = subprocess.run(list(map(str, command)), cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize(('host', 'kind'), CASES)
def test_train_test_predict(host, kind, installed, tmp_path):
    wheel = Path(
        run(installed, tmp_path, 'python', '-c', 'import mmlight; print(mmlight.__path__[0])').splitlines()[-1]
    )
    config = (DETECTORS if host == 'mmdet' else SEGMENTORS)[kind]
    config = wheel.parent / config if kind == 'shipped' else SITE / config
    assert config.is_file()
    tools, cut = SITE / host / '.mim' / 'tools', ['--cfg-options', *options(host, kind, tmp_path / 'data')]
    run(installed, tmp_path, 'python', tools / 'train.py', config, '--work-dir', 'run', *cut)
    weights = (tmp_path / 'run' / 'last_checkpoint').read_text().strip()
    out = run(installed, tmp_path, 'python', tools / 'test.py', config, weights, '--work-dir', 'tested', *cut)
    assert ('coco/bbox_mAP' if host == 'mmdet' else 'mIoU') in out
    photo = (
        next((coco(tmp_path / 'data') / 'val2017').iterdir())
        if host == 'mmdet'
        else next(project().rglob('val/*/*.png'))
    )
    run(installed, tmp_path, 'python', '-c', INFER[host], f'run/{config.name}', weights, photo)
    assert [path for path in (tmp_path / 'found').rglob('*') if path.suffix in ('.png', '.jpg')]


@pytest.mark.long
@pytest.mark.parametrize('host', ['mmdet', 'mmseg'])
def test_two_processes(host, installed, tmp_path):
    """`dist_train.sh` and `dist_test.sh` of the hosts."""
    config = SITE / (DETECTORS if host == 'mmdet' else SEGMENTORS)['stock']
    tools, cut = SITE / host / '.mim' / 'tools', ['--cfg-options', *options(host, 'stock', tmp_path / 'data')]
    if host == 'mmseg':  # PyTorch's SyncBN is for GPUs only
        cut += ['model.backbone.norm_cfg.type=BN', 'model.decode_head.norm_cfg.type=BN']
        cut += [f'model.auxiliary_head.{i}.norm_cfg.type=BN' for i in range(2)]
    env = {**installed, 'PORT': free_port()}
    run(env, tmp_path, 'bash', tools / 'dist_train.sh', config, 2, '--work-dir', 'run', *cut)
    weights = (tmp_path / 'run' / 'last_checkpoint').read_text().strip()
    out = run(env, tmp_path, 'bash', tools / 'dist_test.sh', config, weights, 2, '--work-dir', 'tested', *cut)
    assert ('coco/bbox_mAP' if host == 'mmdet' else 'mIoU') in out


@pytest.fixture(scope='session')
def mim(installed) -> dict[str, str]:
    """The environment with openmim; of what it requires, only what its commands import."""
    command = ['python', '-m', 'pip', 'install', '-q', '--no-deps', *MIM]
    subprocess.run(command, check=True, env=installed)
    return installed


@pytest.mark.long
@pytest.mark.parametrize(('host', 'kind'), CASES)
def test_mim(host, kind, mim, tmp_path):
    """`mim train`, `mim test` and `mim run`: of the host with its own config, of mmlight with the name of a config."""
    package = 'mmlight' if kind == 'shipped' else host
    config = Path((DETECTORS if host == 'mmdet' else SEGMENTORS)[kind]).name
    cut = ['--cfg-options', *options(host, kind, tmp_path / 'data')]
    run(mim, tmp_path, 'mim', 'train', package, config, '--gpus', 0, '--work-dir', 'run', *cut)
    weights = (tmp_path / 'run' / 'last_checkpoint').read_text().strip()
    out = run(mim, tmp_path, 'mim', 'test', package, config, '--checkpoint', weights, '--gpus', 0, *cut)
    assert ('coco/bbox_mAP' if host == 'mmdet' else 'mIoU') in out
    script = 'get_flops' if kind == 'shipped' else 'print_config'
    out = run(mim, tmp_path, 'mim', 'run', package, script, f'run/{config}')
    assert ('MACs: ' if kind == 'shipped' else 'train_dataloader') in out


@pytest.mark.long
def test_boards(installed, tmp_path):
    """TensorBoard's and W&B's visualizers write the losses of a shipped config's training, and bfloat16 on the CPU."""
    command = ['python', '-m', 'pip', 'install', '-q', 'tensorboard', 'wandb']
    subprocess.run(command, check=True, env=installed)
    (tmp_path / 'my.py').write_text(f"""
_base_ = 'mmlight::{'/'.join(Path(SEGMENTORS['shipped']).parts[-2:])}'
visualizer = dict(vis_backends=[
    dict(type='TensorboardVisBackend'), dict(type='WandbVisBackend', init_kwargs=dict(mode='offline'))])
""")
    cut = [*options('mmseg', 'shipped', tmp_path), 'default_hooks.logger.interval=1']
    run(installed, tmp_path, 'mmlight', 'train', 'my.py', '--amp', '--work-dir', 'run', '--cfg-options', *cut)
    read = """
from pathlib import Path
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
for file in Path('run').rglob('events.out.tfevents.*'):
    print(*EventAccumulator(str(file)).Reload().Tags()['scalars'])
"""
    tags = run(installed, tmp_path, 'python', '-c', read).split()
    assert {'loss', 'mIoU'} <= set(tags)
    assert list((tmp_path / 'run').rglob('run-*.wandb'))
