"""The small scripts, run as a user runs them, on a real training's log and checkpoint and on the sample data set."""

import csv
import hashlib
import io
import json
import os
import pickle
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmlight.data.sample import generate
from mmlight.measure.training_log import read_log

ROOT = Path(__file__).parents[2]
CONFIG = 'thundernet_snet49_sample'


class Line(BaseModel):
    """Fits a line; trains in a moment."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        inputs = torch.stack(inputs)
        return {'loss_line': (self.layer(inputs) - 2 * inputs).square().mean()} if mode == 'loss' else [inputs]


class Fit(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(1.0)

    def compute_metrics(self, results):
        return {'bbox_mAP': sum(results) / 10}


def train(work_dir: Path, by_epoch: bool) -> tuple[Path, Path]:
    """(log, checkpoint) of three epochs, or of twelve iterations."""
    points = [{'inputs': torch.tensor([i / 8])} for i in range(8)]
    loader = dict(dataset=points, batch_size=2, sampler=dict(type='DefaultSampler'),
                  collate_fn=dict(type='pseudo_collate'))  # fmt: skip
    loop = dict(by_epoch=True, max_epochs=3) if by_epoch else dict(by_epoch=False, max_iters=12, val_interval=6)
    runner = Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=[Fit(prefix='coco')],
        train_cfg=loop,
        val_cfg={},
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=2, log_metric_by_epoch=by_epoch),
            checkpoint=dict(type='CheckpointHook', by_epoch=by_epoch, interval=3 if by_epoch else 12),
        ),
        custom_hooks=[dict(type='EMAHook', momentum=0.5)],
        log_processor=dict(by_epoch=by_epoch),
        randomness=dict(seed=0),
        cfg=Config(dict(note='kept')),
        experiment_name=f'{work_dir.name}_{by_epoch}',
    )
    runner.train()
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    return log, work_dir / ('epoch_3.pth' if by_epoch else 'iter_12.pth')


@pytest.fixture(scope='module')
def training(tmp_path_factory):
    return train(tmp_path_factory.mktemp('epochs'), True)


@pytest.fixture(scope='module')
def sample(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp('data') / 'sample', num_train=4, num_val=4, size=(192, 144), progress=False)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """A script in this process (another one costs seconds for its imports): exit code, output, error output."""

    def call(script, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        code = 0
        capsys.readouterr()
        try:
            runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


def data_options(sample: Path) -> list[str]:
    return ['--cfg-options', *(f'{phase}_dataloader.dataset.data_root={sample}/' for phase in ('train', 'val', 'test'))]


def test_get_flops(run):
    code, out, _ = run('analysis_tools/get_flops.py', CONFIG, '--shape', '320', '320')
    assert code == 0
    assert 'Parameters: 1' in out
    assert 'MACs: ' in out
    code, out, _ = run('analysis_tools/get_flops.py', CONFIG, '--shape', '160', '--json', '--depth', '2')
    found = json.loads(out)
    assert (code, found['shape']) == (0, [160, 160])
    assert 'neck.cem' in ' '.join(found['by_part']) or any(name.startswith('neck.') for name in found['by_part'])
    more = run('analysis_tools/get_flops.py', CONFIG, '--shape', '160', '--json', '--cfg-options',
               'model.roi_head.bbox_head.num_classes=107')[1]  # fmt: skip
    assert json.loads(more)['parameters'] == found['parameters'] + 100 * 1025
    assert run('analysis_tools/get_flops.py', CONFIG, '--shape', '320', '0')[::2] == (
        2,
        'error: shape: [320, 0]; must be two positive integers, height and width\n',
    )
    code, _, err = run('analysis_tools/get_flops.py', 'thundernet_snet48_sample')
    assert code == 2
    assert err.startswith('error: ')
    assert err.count('\n') == 1


def test_print_config(run, tmp_path):
    code, out, _ = run('misc/print_config.py', CONFIG, '--save-path', tmp_path / 'new' / 'whole.py',
                       '--cfg-options', 'model.neck.out_channels=490')  # fmt: skip
    assert code == 0
    assert 'ThunderNetNeck' in out
    whole = Config.fromfile(tmp_path / 'new' / 'whole.py')
    assert whole.model.neck.out_channels == 490
    assert whole.model.backbone.arch == 49
    code, _, err = run('misc/print_config.py', CONFIG, '--save-path', tmp_path / 'whole.txt')
    assert code == 2
    assert err.startswith('error: --save-path')


@pytest.mark.parametrize(('by_epoch', 'unit', 'evaluations'), [(True, 'epoch', [1, 2, 3]), (False, 'iter', [6, 12])])
def test_logs_are_read_as_the_runner_writes_them(training, tmp_path, by_epoch, unit, evaluations):
    log = read_log(training[0] if by_epoch else train(tmp_path, False)[0])
    assert log.by_epoch is by_epoch
    for key in ('bbox_mAP', 'coco/bbox_mAP'):
        assert log.curve(key) == (evaluations, pytest.approx([0.4] * len(evaluations)), unit)
    steps, values, along = log.curve('loss')
    assert (steps, along) == ([2, 4, 6, 8, 10, 12], 'iter')
    assert values[-1] < values[0]
    assert list(log.iteration_times()) == ([1, 2, 3] if by_epoch else [1])


def test_plot_curve(run, training, tmp_path):
    log, out = training[0], tmp_path / 'new' / 'curve.png'
    code, said, _ = run('analysis_tools/analyze_logs.py', 'plot_curve', log, '--keys', 'loss', 'bbox_mAP', '--out', out,
                        '--title', 'a title', '--legend', 'one', 'two', '--style', 'dark')  # fmt: skip
    assert code == 0
    assert str(out) in said
    picture = cv2.imread(str(out))
    assert picture.shape[0] > picture.shape[1]  # two panels: iterations and epochs do not share an axis
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    for arguments, message in (
        (['--keys', 'mIoU', '--out', out], 'error: --keys mIoU: not in'),
        (['--keys', 'loss', '--legend', 'a', 'b', '--out', out], 'error: --legend: 2 names for 1 curves'),
        (['--keys', 'loss', '--style', 'no', '--out', out], 'error: --style: unknown'),
    ):
        code, _, err = run('analysis_tools/analyze_logs.py', 'plot_curve', log, *arguments)
        assert code == 2
        assert err.startswith(message)


def test_cal_train_time(run, tmp_path):
    """Times by hand: the first record of an epoch is an outlier."""
    records = [(1, 9.0), (1, 1.0), (1, 1.0), (2, 9.0), (2, 3.0)]
    log = tmp_path / 'scalars.json'
    lines = [dict(lr=0.1, time=time, epoch=epoch, step=step) for step, (epoch, time) in enumerate(records, 1)]
    log.write_text('\n'.join(map(json.dumps, lines)))
    _, out, _ = run('analysis_tools/analyze_logs.py', 'cal_train_time', log)
    assert 'slowest epoch 2, average time is 3.0000' in out
    assert 'fastest epoch 1, average time is 1.0000' in out
    assert 'time std over epochs is 1.0000' in out
    assert 'average iter time: 2.0000' in out
    _, out, _ = run('analysis_tools/analyze_logs.py', 'cal_train_time', log, '--include-outliers')
    assert 'slowest epoch 2, average time is 6.0000' in out
    log.write_text('no json')
    code, _, err = run('analysis_tools/analyze_logs.py', 'cal_train_time', log)
    assert code == 2
    assert 'not a JSON-lines log' in err
    assert run('analysis_tools/analyze_logs.py', 'cal_train_time', tmp_path / 'gone.json')[0] == 2


def test_browse_dataset(run, sample, tmp_path):
    code, out, _ = run('analysis_tools/browse_dataset.py', CONFIG, '--not-show', '--output-dir', tmp_path / 'out',
                       '--show-number', '2', *data_options(sample))  # fmt: skip
    assert code == 0
    assert '2 samples drawn' in out
    assert len(list((tmp_path / 'out').iterdir())) == 2


def test_browse_dataset_without_a_display_saves_pictures(run, sample, tmp_path, monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    monkeypatch.setattr(sys, 'platform', 'linux')
    code, *_ = run('analysis_tools/browse_dataset.py', CONFIG, '--phase', 'val', *data_options(sample))
    assert code == 0
    assert len(list((tmp_path / 'work_dirs' / CONFIG / 'browse').iterdir())) == 4
    code, _, err = run('analysis_tools/browse_dataset.py', CONFIG, *data_options(tmp_path / 'nowhere'))
    assert code == 2
    assert 'nowhere' in err


def test_confusion_matrix(run, sample, tmp_path):
    """From the pickle of a real test run, with a random net."""
    from mmlight.runtime.config import load_config
    from mmlight.runtime.inference import build
    from mmlight.runtime.run import RunOptions
    from mmlight.runtime.test import evaluate

    weights, results = tmp_path / 'random.pth', tmp_path / 'results.pkl'
    torch.save({'meta': {}, 'state_dict': build(load_config(CONFIG)).state_dict()}, weights)
    loader = {'test_dataloader.num_workers': 0, 'test_dataloader.persistent_workers': False}
    evaluate(CONFIG, weights, RunOptions(tmp_path / 'work', loader, data=sample, device='cpu'), results)
    predictions = pickle.loads(results.read_bytes())
    code, out, _ = run('analysis_tools/confusion_matrix.py', CONFIG, results, tmp_path / 'new', '--score-thr', '0.0',
                       *data_options(sample))  # fmt: skip
    assert code == 0
    assert 'confusion_matrix.png' in out
    assert cv2.imread(str(tmp_path / 'new' / 'confusion_matrix.png')).std() > 10
    with open(tmp_path / 'new' / 'confusion_matrix.csv', encoding='utf-8') as file:
        header, *rows = csv.reader(file)
    counts = np.array([row[1:] for row in rows], int)
    assert header[-1] == rows[-1][0] == 'background'
    annotations = json.loads((sample / 'annotations' / 'instances_val.json').read_text())['annotations']
    objects = sum(not annotation['iscrowd'] for annotation in annotations)
    assert counts[:-1].sum() == objects  # every object is found or missed
    assert counts[:, :-1].sum() <= sum(len(item['pred_instances']['labels']) for item in predictions)
    assert counts.sum() > objects
    code, _, err = run(
        'analysis_tools/confusion_matrix.py', CONFIG, tmp_path / 'gone.pkl', tmp_path, *data_options(sample)
    )
    assert code == 2
    assert 'gone.pkl: no such file' in err


def test_publish_model(run, training, tmp_path):
    raw = torch.load(training[1], weights_only=False)
    code, out, _ = run('model_converters/publish_model.py', training[1], tmp_path / 'new' / 'model.pth')
    assert code == 0
    assert 'optimizer' in out
    (path,) = (tmp_path / 'new').iterdir()  # nothing but the result: no part files
    content = path.read_bytes()
    assert path.name == f'model-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    published = torch.load(io.BytesIO(content), weights_only=True)
    assert set(published) == {'meta', 'state_dict'}
    assert published['meta']['epoch'] == 3
    assert 'note' in published['meta']['cfg']
    assert torch.equal(published['state_dict']['layer.weight'], raw['state_dict']['layer.weight'])
    run('model_converters/publish_model.py', training[1], tmp_path / 'again' / 'model')
    assert [file.name for file in (tmp_path / 'again').iterdir()] == [path.name]
    model = Line()
    model.load_state_dict(published['state_dict'])


def test_publish_model_without_the_moving_average(run, training, tmp_path):
    raw = torch.load(training[1], weights_only=False)
    assert run('model_converters/publish_model.py', training[1], tmp_path / 'x.pth', '--no-ema')[0] == 0
    (path,) = tmp_path.glob('x-*.pth')
    published = torch.load(path, weights_only=True)
    last = raw['ema_state_dict']['module.layer.weight']  # mmengine swaps the two on saving
    assert torch.equal(published['state_dict']['layer.weight'], last)
    assert not torch.equal(last, raw['state_dict']['layer.weight'])
    code, _, err = run('model_converters/publish_model.py', path, tmp_path / 'y.pth', '--no-ema')
    assert code == 2
    assert 'holds no moving average' in err


def test_publish_model_bad_input(run, training, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'hacked'),)

    torch.save({'state_dict': {}, 'meta': Evil()}, tmp_path / 'evil.pth')
    whole = training[1].read_bytes()
    (tmp_path / 'half.pth').write_bytes(whole[: len(whole) // 2])
    torch.save({'other': 1}, tmp_path / 'other.pth')
    for name in ('evil', 'half', 'other', 'gone'):
        code, _, err = run('model_converters/publish_model.py', tmp_path / f'{name}.pth', tmp_path / 'out.pth')
        assert code == 2
        assert err.startswith('error: ')
        assert f'{name}.pth' in err
        assert err.count('\n') == 1
    assert not (tmp_path / 'hacked').exists()
    assert not list(tmp_path.glob('out*'))
    code, _, err = run('model_converters/publish_model.py', training[1], tmp_path / 'o.pth', '--save-keys', 'wings')
    assert code == 2
    assert '--save-keys wings: not in' in err
