import json
import logging.handlers
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from tiny_project import environment, project

from mmlight.cli import main
from mmlight.runtime.config import load_config

TRAIN = ['train', '{det}', '--work-dir', '{tmp}/work']
OPTION = [*TRAIN, '--cfg-options']


class Evil:
    """A pickle that would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> dict[str, str]:
    """Names for the command lines below -> files, most of them broken in one way."""
    tmp = tmp_path_factory.mktemp('cli')
    (tmp / 'syntax.py').write_text('a = 1\nmodel = dict(type=\n')
    (tmp / 'name.py').write_text(f"_base_ = '{project()}/det.py'\n\nmodel = dict(neck=dict(out_channels=undefined))\n")
    (tmp / 'base.py').write_text("_base_ = 'gone.py'\n")
    (tmp / 'empty.py').write_text('a = 1\n')
    (tmp / 'text.pth').write_text('not a checkpoint')
    (tmp / 'text.png').write_text('not an image')
    (tmp / 'none').mkdir()
    cfg = Config.fromfile(project() / 'det.py')
    init_default_scope('mmdet')
    state = MODELS.build(cfg.model).state_dict()
    torch.save({'state_dict': state}, tmp / 'good.pth')
    (tmp / 'cut.pth').write_bytes((tmp / 'good.pth').read_bytes()[:20000])
    torch.save({'state_dict': state, 'extra': Evil(tmp / 'harm')}, tmp / 'evil.pth')
    torch.save([1, 2], tmp / 'list.pth')
    torch.save({'net.weight': torch.zeros(3)}, tmp / 'other.pth')
    names = {p.stem: str(p) for p in project().glob('*.py')}
    return {**names, 'tmp': str(tmp), 'image': str(next(project().rglob('val/sample/*.png')))}


BAD = [
    # the command line itself
    ([], 'COMMAND'),
    (['trian'], "invalid choice: 'trian'"),
    (['train'], 'CONFIG'),
    (OPTION + ['amp'], "'amp' is not of the form KEY=VALUE"),
    (OPTION + ['model.a=[dict(b=1,c=2)]'], 'options are plain values'),
    # configs
    (['train', '{tmp}/gone.py'], 'neither a file nor the name of a shipped config'),
    (['train', 'thundernet_snet49_sampl'], 'did you mean thundernet_snet49_sample'),
    (['train', '{tmp}'], 'is a folder'),
    (['train', '{tmp}/text.pth'], '.pth suffix, allowed are .py'),
    (['train', '{tmp}/syntax.py'], 'syntax.py, line 2:'),
    (['train', '{tmp}/name.py'], "line 3 of name.py: NameError: name 'undefined' is not defined"),
    (['train', '{tmp}/base.py'], 'gone.py'),
    (['train', '{tmp}/empty.py'], 'defines no `model`'),
    # types
    (OPTION + ['model.neck.type=FPNN'], "model.neck.type: type 'FPNN' is not registered; did you mean FPN or"),
    (OPTION + ['model.backbone.type=SNet'], 'did you mean mmlight.SNet or'),
    (OPTION + ['model.backbone.type=mmlight.ShufleNetV2'], 'did you mean mmlight.ShuffleNetV2'),
    (
        OPTION + ['model.backbone.type=resnet'],
        "model.backbone.type: type 'resnet' is not registered; did you mean Res",
    ),
    (OPTION + ['model.backbone.type=nowhere.Net'], 'needs the package nowhere'),
    (OPTION + ['train_dataloader.dataset.type=CocoDatset'], 'did you mean CocoDataset'),
    (OPTION + ['default_hooks.timer.type=IterTimeHook'], 'did you mean IterTimerHook'),
    (OPTION + ['optim_wrapper.optimizer.type=AdamWW'], 'did you mean AdamW'),
    # options
    (OPTION + ['learning_rate=3'], 'nothing reads `learning_rate`'),
    (OPTION + ['train_confg.max_epochs=3'], 'did you mean train_cfg'),
    (OPTION + ['train_dataloader.dataset.pipeline.99.type=x'], 'Index 99 exceeds the length'),
    (OPTION + ['model.backbone.depth=17'], 'invalid depth 17'),
    (OPTION + ['train_cfg.val_interval=-1'], 'val_interval must be an integer of at least 1, got -1'),
    (OPTION + ['model.neck.out_channels=-1'], 'negative dimension'),
    (['flops', '{det}', '--cfg-options', 'model.neck.out_channels=-1'], 'negative dimension'),
    (OPTION + ['train_cfg.max_epoch=4'], "unexpected keyword argument 'max_epoch'"),
    (OPTION + ['optim_wrapper.optimizer.lr=-1'], 'Invalid learning rate: -1'),
    # levels
    (
        [
            'train',
            'retinanet_spinenet-49s_sample',
            '--work-dir',
            '{tmp}/work',
            '--cfg-options',
            'data_check=off',
            'model.bbox_head.anchor_generator.strides=[4,8,16,32,64]',
        ],
        'model.bbox_head: anchors of strides [4, 8, 16, 32, 64] do not fit: the model has no neck, and '
        "SpineNet's maps have strides [8, 16, 32, 64, 128]",
    ),
    # data
    (OPTION + ['model.bbox_head.num_classes=5'], 'model.bbox_head.num_classes is 5, but'),
    (OPTION + ['train_dataloader.dataset.ann_file=gone.json'], 'gone.json'),
    (OPTION + ['train_dataloader.dataset.data_prefix=1'], 'data_prefix is 1, expected a dict of folders'),
    (OPTION + ['train_dataloader.dataset.type=1'], 'dataset.type is 1, expected the name of a class'),
    (OPTION + ['train_dataloader.dataset.metainfo.classes=1'], 'metainfo.classes is 1, expected a tuple of names'),
    ([*TRAIN, '--data', '{tmp}/gone'], '{tmp}/gone'),
    ([*TRAIN, '--data', '{tmp}/none'], '{tmp}/none'),
    # how to run
    ([*TRAIN, '--launcher', 'pytorch'], 'lacks RANK, '),
    ([*TRAIN, '--launcher', 'slurm'], 'lacks SLURM_PROCID, '),
    ([*TRAIN, '--launcher', 'mpi'], 'lacks OMPI_COMM_WORLD_LOCAL_RANK, '),
    ([*TRAIN, '--launcher', 'ray'], 'allowed are none, pytorch, slurm, mpi'),
    ([*TRAIN, '--device', 'tpu'], 'allowed are cpu, cuda and cuda:N'),
    ([*TRAIN, '--device', 'cuda:99'], '--device cuda:99'),
    (
        [*TRAIN, '--amp', '--cfg-options', 'optim_wrapper.type=ApexOptimWrapper'],
        '--amp: works with optim_wrapper type OptimWrapper',
    ),
    ([*TRAIN, '--auto-scale-lr'], 'auto_scale_lr.base_batch_size'),
    ([*TRAIN, '--epochs', '0'], '--epochs 0: at least 1'),
    (['train', '{det_iter}', '--work-dir', '{tmp}/work', '--epochs', '2'], 'counts iterations'),
    (['train', '{det}', '--work-dir', '{tmp}/text.png'], '--work-dir {tmp}/text.png: cannot be written'),
    # checkpoints
    ([*TRAIN, '--resume', '{tmp}/gone.pth'], '--resume {tmp}/gone.pth: no such file'),
    ([*TRAIN, '--resume', '{tmp}/good.pth'], 'no training state in it (lacks meta'),
    (OPTION + ['load_from={tmp}/gone.pth'], 'load_from {tmp}/gone.pth: no such file'),
    (OPTION + ['load_from={tmp}/other.pth'], '1 unexpected (net.weight): it belongs to another model'),
    (['test', '{det}', '{tmp}/gone.pth'], 'checkpoint {tmp}/gone.pth: no such file'),
    (['test', '{det}', '{tmp}/cut.pth'], 'cut.pth: not a checkpoint, or damaged'),
    (['test', '{det}', '{tmp}/text.pth'], 'text.pth: not a checkpoint, or damaged'),
    (['test', '{det}', '{tmp}/evil.pth'], 'system'),
    (['test', '{det}', '{tmp}/list.pth'], 'holds a list'),
    (['test', '{seg}', '{tmp}/good.pth'], 'missing (backbone.stem.0.weight, '),
    (['test', '{det}', '{tmp}/good.pth', '--cfg-options', 'model.bbox_head.feat_channels=8'], 'instead of (8,'),
    (['test', '{det}', '{tmp}/good.pth', '--out', '{tmp}/x.txt'], '.pkl or .pickle'),
    # prediction
    (['predict', '{det}', '{tmp}/gone.png'], '{tmp}/gone.png: no such file'),
    (['predict', '{det}', '{tmp}/none'], 'holds no image'),
    (['predict', '{det}', '{tmp}/text.png', '--out', '{tmp}/out'], '{tmp}/text.png: cannot be decoded'),
    (['predict', '{det}', '{image}', '--weights', '{tmp}/evil.pth', '--out', '{tmp}/out'], 'system'),
    (['predict', '{det}', '{image}', '--weights', '{tmp}/other.pth', '--out', '{tmp}/out'], 'another model'),
    (['predict', '{det}', '{image}', '--score-thr', '30'], '--score-thr 30.0: allowed is 0 to 1'),
    (['predict', '{det}', '{image}', '--out', '{tmp}/text.png'], '--out {tmp}/text.png: cannot be created'),
    # the others
    (['flops', '{det}', '--shape', '0', '3'], 'two positive integers'),
    (['list', 'nothing-like-this'], 'matches none of'),
    (['sample', '--out', '{tmp}/text.png'], 'text.png'),
]


@pytest.mark.parametrize(('arguments', 'message'), BAD, ids=[' '.join(a)[-50:] for a, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(files, capsys, monkeypatch, arguments, message):
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT', 'SLURM_PROCID', 'OMPI_COMM_WORLD_LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(files['tmp'])  # default work dirs
    assert main([argument.format(**files) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error:')]
    assert len(lines) == 1
    assert message.format(**files) in lines[0]
    assert not Path(files['tmp'], 'harm').exists(), 'code from a checkpoint was run'


def test_no_traceback_from_the_process(files):
    command = [sys.executable, '-m', 'mmlight.cli', 'test', files['det'], files['tmp'] + '/evil.pth']
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 2
    assert done.stderr.strip().count('\n') == 0
    assert done.stderr.startswith('error: checkpoint')


def test_traceback_on_request(files, capsys, monkeypatch):
    monkeypatch.setenv('MMLIGHT_TRACEBACK', '1')
    assert main(['train', files['tmp'] + '/name.py']) == 2
    assert 'Traceback' in capsys.readouterr().err


def test_the_command_line_imports_no_host():
    code = (
        "import sys; from mmlight.cli import make_parser; make_parser(); print({'mmdet', 'mmseg'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == 'set()'


def test_a_wrong_name_and_the_list_are_answered_before_anything_heavy_is_imported():
    code = (
        "import sys; from mmlight.cli import main; main(sys.argv[1:]); print({'torch', 'mmengine'} & set(sys.modules))"
    )
    for command in (['train', 'thundernet_snet49_sampl'], ['compare', 'thundernet_snet49_sampl@320']):
        done = subprocess.run([sys.executable, '-c', code, *command], capture_output=True, text=True, env=environment())
        assert 'did you mean thundernet_snet49_sample' in done.stderr
        assert done.stdout.strip() == 'set()'
    done = subprocess.run(
        [sys.executable, '-c', code, 'list', 'dfanet'], capture_output=True, text=True, env=environment()
    )
    assert done.stdout.splitlines()[-1] == 'set()'  # behind the table


def test_a_damaged_training_image_is_named(files, tmp_path, capsys):
    """Also when a loader worker meets it, whose errors arrive with a traceback as their text."""
    data = tmp_path / 'data'
    subprocess.run(['cp', '-r', project() / 'data', data], check=True)
    for image in data.rglob('train/sample/*_leftImg8bit.png'):
        image.write_bytes(image.read_bytes()[:900])
    dataset = 'train_dataloader.dataset'
    options = [f'{dataset}.data_root={data}/', f'{dataset}.pipeline.0.type=mmlight.LoadImage']
    assert main(['train', files['det'], '--work-dir', str(tmp_path / 'work'), '--cfg-options', *options]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f'error: image {data}')
    assert 'Traceback' not in line


def test_predict_goes_on_after_an_unreadable_image(files, tmp_path, capsys):
    images = tmp_path / 'images'
    images.mkdir()
    cv2.imwrite(str(images / 'a.png'), np.zeros((96, 128, 3), np.uint8))
    (images / 'b.png').write_text('not an image')
    arguments = ['predict', files['det'], str(images), '--weights', files['tmp'] + '/good.pth']
    assert main([*arguments, '--out', str(tmp_path / 'out')]) == 1
    said = capsys.readouterr().err
    assert f'error: image {images}/b.png' in said
    assert '1 images could not be read' in said
    assert main([*arguments, '--out', str(images / 'out')]) == 2
    assert 'lies in the image folder' in capsys.readouterr().err
    content = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert [Path(entry['file']).name for entry in content['images']] == ['a.png']
    assert [Path(entry['file']).name for entry in content['failed']] == ['b.png']


def test_predict_without_weights_warns(files, tmp_path):
    seen = logging.handlers.BufferingHandler(1000)
    MMLogger.get_current_instance().addHandler(seen)
    assert main(['predict', files['det'], files['image'], '--out', str(tmp_path)]) == 0
    MMLogger.get_current_instance().removeHandler(seen)
    assert any('no --weights' in record.getMessage() for record in seen.buffer)


def test_sample_list_flops_doctor(files, tmp_path, capsys):
    assert main(['list', 'thundernet_snet49*']) == 0
    listed = capsys.readouterr().out
    assert 'thundernet_snet49_sample' in listed
    assert '1.148 M' in listed
    assert main(['flops', files['det'], '--shape', '64', '64']) == 0
    assert 'backbone' in capsys.readouterr().out
    assert main(['doctor']) == 0
    assert 'mmengine' in capsys.readouterr().out


def test_a_printed_config_is_a_config(tmp_path, monkeypatch, capsys):
    """In another folder, with nothing beside it."""
    assert main(['config', 'bisenet_r18_4xb4-160k_cityscapes-1024x1024', '--cfg-options', 'train_cfg.max_iters=7']) == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'my.py').write_text(capsys.readouterr().out)
    found = load_config(tmp_path / 'my.py')
    shipped = load_config('bisenet_r18_4xb4-160k_cityscapes-1024x1024', {'train_cfg.max_iters': 7})
    assert found.to_dict() == shipped.to_dict()
    assert main(['flops', 'my.py', '--shape', '64', '64']) == 0
