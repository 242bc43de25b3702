import csv
import json
import os
import pickle
import signal
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from tiny_project import mmlight, project

from mmlight.cli import main
from mmlight.deploy.deploy import deployed, switch_to_deploy
from mmlight.errors import InputError
from mmlight.runtime.checkpoint import latest_checkpoint, load
from mmlight.runtime.config import load_config
from mmlight.runtime.run import RunOptions, add_hooks
from mmlight.runtime.test import evaluate
from mmlight.runtime.train import set_epochs, train
from mmlight.runtime.tta import enable_tta


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    path = latest_checkpoint(work_dir)
    return torch.load(path, weights_only=True)['state_dict']


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """Work dirs ``det``, ``det_iter`` and ``seg`` of uninterrupted trainings."""
    folder = tmp_path_factory.mktemp('trained')
    for name in ('det', 'det_iter', 'seg'):
        options = ['--no-report'] if name == 'det_iter' else []
        assert main(['train', str(project() / f'{name}.py'), '--work-dir', str(folder / name), *options]) == 0
    return folder


def test_report_of_a_training(trained):
    """Pictures, and the figures of the last evaluation; the config names the classes that the table has."""
    pictures = {'confusion_matrix.png', 'training_batch.jpg', 'predictions.jpg', 'curve_loss.png'}
    for name, own in (('det', {'precision_recall.png'}), ('seg', {'curve_mIoU.png'})):
        for file in pictures | own:
            assert cv2.imread(str(trained / name / 'report' / file)).std() > 2, file
        rows = list(csv.DictReader((trained / name / 'report' / 'per_class.csv').open()))
        dataset = load_config(trained / name / f'{name}.py').val_dataloader.dataset
        if name == 'det':
            assert [row['class'] for row in rows] == list(dataset.metainfo.classes)
            data = json.loads(Path(dataset.data_root, dataset.ann_file).read_text())
            assert sum(int(row['objects']) for row in rows) == sum(not one['iscrowd'] for one in data['annotations'])
            continue
        log = json.loads(sorted((trained / name).glob('*/vis_data/scalars.json'))[0].read_text().splitlines()[-1])
        found = [float(row['IoU']) for row in rows if row['IoU'] != 'nan']
        assert sum(found) / len(found) == pytest.approx(log['mIoU'], abs=0.06)
        assert (trained / name / 'best_mIoU_iter_4.pth').is_file()


def test_console_of_a_training_is_short(tmp_path, capsys):
    """Environment, config and hooks are in the log file; a training that no longer improves ends early."""
    options = ['--epochs', '9', '--early-stop', '1', '--cfg-options', 'train_cfg.val_interval=1']
    options.append('optim_wrapper.optimizer.lr=0')
    assert main(['train', str(project() / 'det.py'), '--no-report', '--work-dir', str(tmp_path), *options]) == 0
    (log,) = (file.read_text() for file in tmp_path.glob('*/*.log'))
    said = capsys.readouterr().out
    for words in ('System environment', 'Config:', 'Hooks will be executed'):
        assert words in log
        assert words not in said
    assert 'Epoch(train) [1][1/3]' in said[:3000]
    assert 'Epoch(train) [3]' not in log


def test_checkpoints_load_with_weights_only(trained):
    for name in ('det', 'det_iter', 'seg'):
        content = load(latest_checkpoint(trained / name))
        assert {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers'} <= content.keys()


@pytest.mark.parametrize(
    ('name', 'moment'),
    [
        pytest.param('det', 'Epoch(train) [2][2/3]', id='epochs'),
        pytest.param('det_iter', 'Iter(train) [6/9]', id='iters', marks=pytest.mark.long),
    ],
)
def test_resumed_training_equals_uninterrupted(trained, tmp_path, name, moment):
    arguments = ['train', project() / f'{name}.py', '--no-report', '--work-dir', tmp_path]
    process = mmlight(*arguments)
    for line in process.stdout:
        if moment in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL, 'training ended before it could be killed'
    saved = latest_checkpoint(tmp_path)
    assert saved.name == {'det': 'epoch_1.pth', 'det_iter': 'iter_4.pth'}[name]
    partial = weights(tmp_path)

    assert main([*map(str, arguments), '--resume']) == 0
    expected, found = weights(trained / name), weights(tmp_path)
    assert expected.keys() == found.keys()
    assert not torch.equal(partial['backbone.conv1.weight'], found['backbone.conv1.weight'])
    different = [key for key in expected if not torch.equal(expected[key], found[key])]
    assert different == []


def test_result_does_not_depend_on_the_number_of_workers(trained, tmp_path):
    options = ['--cfg-options', 'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    assert main(['train', str(project() / 'det.py'), '--no-report', '--work-dir', str(tmp_path), *options]) == 0
    expected, found = weights(trained / 'det'), weights(tmp_path)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_seed_changes_the_result(trained, tmp_path):
    assert (
        main(['train', str(project() / 'det_iter.py'), '--no-report', '--work-dir', str(tmp_path), '--seed', '4']) == 0
    )
    assert not torch.equal(
        weights(trained / 'det_iter')['backbone.conv1.weight'], weights(tmp_path)['backbone.conv1.weight']
    )


def test_resuming_a_finished_training_changes_nothing(trained):
    before = latest_checkpoint(trained / 'seg').read_bytes()
    assert (
        main(['train', str(project() / 'seg.py'), '--no-report', '--work-dir', str(trained / 'seg'), '--resume']) == 0
    )
    assert latest_checkpoint(trained / 'seg').read_bytes() == before


@pytest.mark.parametrize('where', ['', 'batch_sampler.'], ids=['loader', 'batch sampler'])
def test_fewer_images_than_a_batch(tmp_path, where):
    options = {'train_dataloader.dataset.indices': 3, f'train_dataloader.{where}drop_last': True}
    if not where:
        options['train_dataloader.batch_sampler'] = None
    with pytest.raises(InputError, match=r'train_dataloader: 3 images give no batch of 4 \(batch_size\)'):
        train(project() / 'det.py', RunOptions(tmp_path, options))


def test_resume_without_checkpoint_starts_from_the_beginning(tmp_path):
    options = ['--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=5']
    assert (
        main(
            ['train', str(project() / 'det_iter.py'), '--no-report', '--work-dir', str(tmp_path), '--resume', *options]
        )
        == 0
    )
    assert latest_checkpoint(tmp_path).name == 'iter_1.pth'


def test_evaluate_detector(trained, tmp_path):
    checkpoint = latest_checkpoint(trained / 'det')
    arguments = ['test', project() / 'det.py', checkpoint, '--work-dir', tmp_path, '--out', tmp_path / 'all.pkl']
    assert main([*map(str, arguments), '--show-dir', 'drawn']) == 0
    predictions = pickle.loads((tmp_path / 'all.pkl').read_bytes())
    assert len(predictions) == 4
    assert all(len(p['pred_instances']['boxes' if 'boxes' in p['pred_instances'] else 'bboxes']) for p in predictions)
    assert len(list(tmp_path.glob('*/drawn/*.png'))) == 4
    metrics = json.loads(next(tmp_path.glob('2*/2*.json')).read_text())
    assert 0 <= metrics['coco/bbox_mAP_50'] <= 1


def test_evaluation_needs_no_training_data(trained, tmp_path):
    cfg = load_config(project() / 'det.py', {'train_dataloader.dataset.ann_file': 'gone.json'})
    assert evaluate(cfg, latest_checkpoint(trained / 'det'), RunOptions(str(tmp_path)))['coco/bbox_mAP'] >= 0


def test_a_bare_state_dict_is_evaluated_where_weights_are_averaged(trained, tmp_path):
    cfg = load_config(project() / 'det.py', {'custom_hooks': [dict(type='EMAHook')]})
    torch.save(weights(trained / 'det'), tmp_path / 'bare.pth')
    found, other = tmp_path / 'found', tmp_path / 'other'
    expected = evaluate(project() / 'det.py', latest_checkpoint(trained / 'det'), RunOptions(str(other)))
    assert evaluate(cfg, tmp_path / 'bare.pth', RunOptions(str(found))) == expected


@pytest.mark.parametrize('name', ['det', 'seg'])
def test_test_time_augmentation(trained, tmp_path, name):
    checkpoint = latest_checkpoint(trained / name)
    trained_with = tmp_path / f'{name}.py'
    trained_with.write_text('# of the training')
    arguments = ['test', project() / f'{name}.py', checkpoint, '--work-dir', tmp_path, '--tta']
    assert main(list(map(str, arguments))) == 0
    assert trained_with.read_text() == '# of the training'


@pytest.mark.parametrize('options', [{}, dict(custom_hooks=[dict(type='EMAHook')]), dict(tta=True)])
@pytest.mark.parametrize('name', ['det', 'seg'])
def test_deployed_networks_predict_the_same(trained, tmp_path, monkeypatch, name, options):
    checkpoint, found, made = latest_checkpoint(trained / name), [], []

    def make(*args):
        made.append(switch_to_deploy(*args))
        return made[-1]

    monkeypatch.setattr('mmlight.deploy.deploy.switch_to_deploy', make)
    for deploy in (False, True):
        cfg = load_config(project() / f'{name}.py')
        cfg.custom_hooks = options.get('custom_hooks', [])
        out = tmp_path / str(deploy) / ('all.pkl' if name == 'det' else 'labels')
        changes = [deployed] if deploy else []
        metrics = evaluate(cfg, checkpoint, RunOptions(tmp_path), out, tta=options.get('tta', False), changes=changes)
        if name == 'det':
            found.append([one['pred_instances']['scores'] for one in pickle.loads(out.read_bytes())])
        else:
            found.append([torch.from_numpy(cv2.imread(str(file), -1)) for file in sorted(out.glob('*.png'))])
        assert metrics
    (network,) = made
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.backbone.modules())
    assert len(found[0]) == 4
    for plain, other in zip(*found, strict=True):
        if name == 'det':
            torch.testing.assert_close(plain, other, atol=1e-4, rtol=1e-3)
        else:
            assert (plain == other).float().mean() >= 0.999


def test_what_cannot_be_deployed(trained, tmp_path, capsys):
    assert main(['test', str(project() / 'det.py'), '--onnx', 'a.onnx', '--deploy']) == 2
    assert capsys.readouterr().err == 'error: --deploy: an exported file has its norms folded already\n'
    cfg = load_config(project() / 'det.py')
    cfg.compile = True
    with pytest.raises(InputError, match='--deploy: cannot be combined with `compile`'):
        evaluate(cfg, latest_checkpoint(trained / 'det'), RunOptions(tmp_path), changes=[deployed])


@pytest.mark.parametrize(
    ('name', 'sizes'),
    [
        (
            'bisenet_xception39_4xb4-160k_cityscapes-1024x1024',
            [(1024, 512), (1536, 768), (2048, 1024), (2560, 1280), (3072, 1536), (3584, 1792)],
        ),
        (
            'dfanet_a_4xb12-80k_cityscapes-512x1024',
            [(512, 256), (768, 384), (1024, 512), (1280, 640), (1536, 768), (1792, 896)],
        ),
    ],
)
def test_segmentors_are_augmented_by_scales_and_flip(name, sizes):
    """Around the size at which the config tests; labels are loaded behind, at their own size and unflipped."""
    cfg = load_config(name)
    enable_tta(cfg)
    resizes, flips, *others = cfg.test_dataloader.dataset.pipeline[1].transforms
    assert [step.scale for step in resizes] == sizes
    assert [step.prob for step in flips] == [0, 1]
    assert [step.type for (step,) in others] == ['LoadAnnotations', 'mmlight.CheckLabels', 'PackSegInputs']
    assert cfg.model.type == 'SegTTAModel'


def test_segmentor_under_its_default_augmentation(trained, tmp_path):
    cfg = load_config(project() / 'seg.py')
    cfg.pop('tta_pipeline'), cfg.pop('tta_model')
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='Resize', scale=(128, 96), keep_ratio=True))
    metrics = evaluate(cfg, latest_checkpoint(trained / 'seg'), RunOptions(tmp_path), tta=True)
    assert 0 <= metrics['mIoU'] <= 100
    cfg = load_config(project() / 'seg.py')
    cfg.pop('tta_pipeline')
    with pytest.raises(InputError, match='--tta: the config has no tta_pipeline, and its test pipeline no Resize'):
        evaluate(cfg, latest_checkpoint(trained / 'seg'), RunOptions(tmp_path), tta=True)


def test_evaluate_segmentor(trained, tmp_path):
    checkpoint = latest_checkpoint(trained / 'seg')
    arguments = ['test', project() / 'seg.py', checkpoint, '--work-dir', tmp_path, '--out', tmp_path / 'labels']
    assert main([*map(str, arguments), '--show-dir', str(tmp_path / 'drawn')]) == 0
    labels = list((tmp_path / 'labels').glob('*.png'))
    assert len(labels) == 4
    assert cv2.imread(str(labels[0]), cv2.IMREAD_UNCHANGED).shape == (96, 128)
    assert len(list((tmp_path / 'drawn').glob('*.png'))) == 4


@pytest.mark.parametrize('name', ['det', 'seg'])
@pytest.mark.parametrize('absolute', [False, True])
def test_pictures_lie_below_the_run_s_folder_unless_the_path_is_absolute(
    trained, tmp_path, monkeypatch, name, absolute
):
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    place = str(tmp_path / 'given') if absolute else 'a/b'
    checkpoint = latest_checkpoint(trained / name)
    arguments = ['test', project() / f'{name}.py', checkpoint, '--work-dir', tmp_path / 'work', '--show-dir', place]
    assert main(list(map(str, arguments))) == 0
    (run,) = (path for path in (tmp_path / 'work').glob('2*') if path.is_dir())
    assert len(list((run / place).glob('*.png'))) == 4
    assert not list(Path().rglob('*.png'))
    assert (run / 'vis_data').is_dir()


def test_pictures_are_drawn_without_a_backend_for_files(trained, tmp_path):
    options = ['--show-dir', tmp_path / 'drawn', '--cfg-options', 'visualizer.vis_backends=[]']
    arguments = ['test', project() / 'seg.py', latest_checkpoint(trained / 'seg'), '--work-dir', tmp_path, *options]
    assert main(list(map(str, arguments))) == 0
    assert len(list((tmp_path / 'drawn').glob('*.png'))) == 4


def test_predict_with_trained_weights(trained, tmp_path):
    images = project() / 'data/leftImg8bit/val/sample'
    for name, key in (('det', 'detections'), ('seg', 'labels')):
        out = tmp_path / name
        arguments = ['predict', project() / f'{name}.py', images, '--weights', latest_checkpoint(trained / name)]
        assert main([*map(str, arguments), '--out', str(out), '--score-thr', '0']) == 0
        content = json.loads((out / 'predictions.json').read_text())
        assert len(content['images']) == 4
        assert content['failed'] == []
        assert all(entry[key] and (out / entry['picture']).is_file() for entry in content['images'])


def test_fine_tuning_may_change_the_classes(trained, tmp_path, caplog):
    options = [f'load_from={latest_checkpoint(trained / "det")}', 'train_cfg.max_iters=1', 'train_cfg.val_interval=5']
    options += ['model.bbox_head.num_classes=8', 'data_check=off', 'val_cfg=None', 'val_dataloader=None']
    options += ['val_evaluator=None']
    arguments = [
        'train',
        str(project() / 'det_iter.py'),
        '--no-report',
        '--work-dir',
        str(tmp_path),
        '--cfg-options',
        *options,
    ]
    assert main(arguments) == 0
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert '2 of another shape, which begin anew (bbox_head.conv_cls.weight (7, 16, 3, 3) instead of (8, ' in log


def test_epochs_stretch_the_schedule():
    cfg = Config.fromfile(project() / 'det.py')
    set_epochs(cfg, 12)
    assert cfg.train_cfg.max_epochs == 12
    assert cfg.param_scheduler[0].end == 4, 'counts iterations'
    assert cfg.param_scheduler[1].T_max == 12
    with pytest.raises(InputError, match='counts iterations'):
        set_epochs(Config.fromfile(project() / 'det_iter.py'), 12)


@pytest.mark.parametrize(('hooks', 'kept'), [([], 'coco/bbox_mAP'), (['mmlight.PathSamplingHook'], None)])
def test_the_best_checkpoint_is_kept_but_not_of_a_supernet(hooks, kept):
    """Its metric is that of one path of many."""
    cfg = load_config(str(project() / 'det.py'))
    cfg.launcher, cfg.custom_hooks = 'none', [dict(type=hook) for hook in hooks]
    add_hooks(cfg)
    assert cfg.default_hooks.checkpoint.get('save_best') == kept
