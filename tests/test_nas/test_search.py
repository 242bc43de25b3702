"""A search as a user runs it: config, search, report, export, training of what was found."""

import random
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmlight.cli import main
from mmlight.data.sample import generate
from mmlight.errors import InputError
from mmlight.nas import retrain, search
from mmlight.nas.export import export
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import MACs, ProxyTraining, count, last_metrics, train
from mmlight.nas.report import write
from mmlight.nas.retrain import Row, compare, markdown
from mmlight.nas.search import make_space
from mmlight.nas.spaces import NASFPNSpace
from mmlight.runtime.config import load_config
from mmlight.tables import FeatureGraph

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'nas' / 'nas-fpn_shufflenet-v2_sample.py'


def config(path: Path, **changes) -> Path:
    sections = dict(
        space=dict(type='NASFPNSpace'),
        sampler=dict(type='RegularizedEvolution', population=3, tournament=2),
        objective=dict(type='MACs', target=60e6, shape=(128, 128)),
        trials=6,
        batch_size=3,
    )
    sections.update(changes)
    path.write_text(f'_base_ = {str(CONFIG)!r}\nsearch = dict(_delete_=True, **{sections!r})\n')
    return path


def test_analytic_search(tmp_path, capsys, monkeypatch):
    path = config(tmp_path / 'macs.py')
    trials = search.run(path, tmp_path / 'run')
    best = max(trials, key=lambda trial: trial.reward)
    assert best.reward > min(t.reward for t in trials)
    with pytest.raises(InputError, match='holds a search already; --resume goes on with it'):
        search.run(path, tmp_path / 'run')
    assert [t.choices for t in search.run(path, tmp_path / 'run', resume=True)] == [t.choices for t in trials]

    report = write(tmp_path / 'run', top=2, shape=(128, 128)).read_text()
    assert report.count('\n| ') == 3
    assert f'{best.metrics["parameters"]:,}' in report
    for picture in ('curves.png', 'graphs.png'):
        assert (tmp_path / 'run' / 'report' / picture).stat().st_size > 5000

    script = str(ROOT / 'tools' / 'export_arch.py')
    monkeypatch.setattr(sys, 'argv', [script, str(tmp_path / 'run'), '--stack', '2', '--width', '16'])
    runpy.run_path(script, run_name='__main__')
    assert f'trial {best.source}' in capsys.readouterr().out
    cfg = load_config(tmp_path / 'run' / 'best_0.py')
    space = make_space(load_config(path))
    assert FeatureGraph.from_dict(cfg.model.neck.graph) == space.decode(best.choices)
    assert (cfg.model.neck.stack_times, cfg.model.neck.out_channels, cfg.model.bbox_head.in_channels) == (2, 16, 16)
    assert 'search' not in cfg


def sample_options(folder: Path) -> dict:
    """What makes the proxy train on a few pictures of the sample data set."""
    data = generate(folder / 'sample', num_train=8, num_val=4, size=(192, 144), progress=False)
    options = {f'{loader}_dataloader.dataset.data_root': f'{data}/' for loader in ('train', 'val', 'test')}
    options |= {f'{e}_evaluator.ann_file': f'{data}/annotations/instances_val.json' for e in ('val', 'test')}
    return options | {'train_dataloader.batch_size': 4, 'model.test_cfg.score_thr': 0.0}


@pytest.mark.long
def test_proxy_search(tmp_path):
    """Real trainings in processes of their own, on two workers; the network found is trained by tools/train.py."""
    options = sample_options(tmp_path)
    objective = dict(type='ProxyTraining', metric='coco/bbox_mAP_50', options=options)
    path = config(
        tmp_path / 'proxy.py', objective=objective, sampler=dict(type='RNNController'), trials=4, batch_size=4
    )
    trials = search.run(path, tmp_path / 'run', backend='local', workers=2)
    assert sum(trial.source == trial.number for trial in trials) >= 4
    assert all('coco/bbox_mAP' in trial.metrics for trial in trials if trial.source == trial.number)
    assert ' ms |' in write(tmp_path / 'run', top=2, shape=(128, 128), latency=True).read_text()
    export(tmp_path / 'run', tmp_path / 'best.py')
    command = [
        sys.executable,
        'tools/train.py',
        tmp_path / 'best.py',
        '--work-dir',
        tmp_path / 'best',
        '--epochs',
        '1',
        '--no-report',
    ]
    options = [f'{key}={value}' for key, value in options.items()]
    done = subprocess.run([*map(str, command), '--cfg-options', *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def proxy(**options) -> ProxyTraining:
    return ProxyTraining(make_space(load_config(CONFIG)), str(CONFIG), shape=(128, 128), **options)


def test_too_large_is_not_trained(tmp_path):
    objective = proxy(limits=dict(macs=1e6))
    found = objective(objective.space.sample(random.Random(0)), tmp_path)
    assert (found['reward'], found['error']) == (0.0, 'too large: macs')
    assert not (tmp_path / 'training').exists()


@pytest.mark.long
def test_a_training_that_still_runs_is_waited_for(tmp_path):
    """Its driver was killed; the training has the log open, and with it the lock."""
    config = tmp_path / 'config.py'
    config.write_text('model = 1\n')
    with open(tmp_path / 'training.log', 'a') as log:
        fcntl = pytest.importorskip('fcntl')
        fcntl.flock(log, fcntl.LOCK_EX)
        orphan = subprocess.Popen(['sleep', '2'], stdout=log)
    with pytest.raises(InputError, match='trial'):  # it is no config
        train(config, tmp_path / 'training')
    assert orphan.poll() == 0


def test_reward_of_multiply_adds():
    objective = MACs(NASFPNSpace(), str(CONFIG), 1e6, (128, 128))
    choices = objective.space.sample(random.Random(0))
    found = objective(choices, Path())
    assert found['reward'] == pytest.approx(1e6 / found['macs'])
    objective.target = 2 * found['macs']
    assert objective(choices, Path())['reward'] == pytest.approx(0.5)


def test_rewards():
    """MnasNet, arXiv 1807.11626, Sec. 3: the reward shrinks by (fact / target) ** -0.07 above the target."""
    metrics = {'coco/bbox_mAP': 0.4, 'coco/bbox_mAP_50': 0.6}
    assert proxy().reward(metrics, {}) == {'reward': 0.4}
    objective = proxy(target=dict(macs=1e6))
    assert objective.reward(metrics, {'macs': 9e5}) == {'reward': 0.4}
    assert objective.reward(metrics, {'macs': 2e6})['reward'] == pytest.approx(0.4 * 0.9526, abs=1e-4)
    objective = proxy(against='latency')
    assert objective.reward(metrics, {'latency': 7.5}) == {'reward': 0.4, 'values': [0.4, 7.5]}
    assert objective.num_values == 2
    assert proxy().reward({**metrics, 'coco/bbox_mAP': -1.0}, {})['reward'] == 0.0
    assert proxy().reward({**metrics, 'coco/bbox_mAP': float('nan')}, {})['reward'] == 0.0
    assert proxy().reward({}, {})['error'] == 'the evaluation found nothing'
    with pytest.raises(InputError, match="metric 'mIoU' is not among coco/bbox_mAP, coco/bbox_mAP_50"):
        proxy(metric='mIoU').reward(metrics, {})


def test_latency_is_measured_before_the_training(tmp_path):
    objective = proxy(limits=dict(latency=1e-3))
    found = objective(objective.space.sample(random.Random(0)), tmp_path)
    assert found['latency'] > 1e-3
    assert found['error'] == 'too large: latency'


def test_metrics_of_a_training(tmp_path):
    """As mmengine logs them: steps of training, then evaluations; COCO's finds nothing in the first one."""
    log = tmp_path / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 2.5, "lr": 0.1, "step": 9}\n')
    with pytest.raises(InputError, match='no evaluation in the log'):
        last_metrics(tmp_path)
    log.write_text(log.read_text() + '{"data_time": 0.1, "time": 0.2, "step": 1}\n')
    assert last_metrics(tmp_path) == {}
    log.write_text(log.read_text() + '{"coco/bbox_mAP": 0.25, "data_time": 0.1, "time": 0.2, "step": 2}\n')
    assert last_metrics(tmp_path) == {'coco/bbox_mAP': 0.25}


@pytest.mark.long
def test_infinite_loss(tmp_path):
    """A training that diverges teaches with reward 0; it is no failure of the machine."""
    options = sample_options(tmp_path) | {'optim_wrapper.optimizer.lr': 1e30}
    objective = proxy(options=options | {'train_cfg.max_epochs': 12, 'train_cfg.val_interval': 12})
    found = objective(objective.space.sample(random.Random(0)), tmp_path)
    assert (found['reward'], found['error']) == (0.0, 'the loss is not finite')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(limits=dict(watts=3)), "limits, target and against must be of parameters, macs, latency, got 'watts'"),
        (dict(target=dict(macs=0)), 'macs must be a number above 0, got 0'),
        (dict(target=dict(macs=1e6, latency=3)), 'target must be one, got macs, latency'),
    ],
)
def test_bad_objective(options, message):
    with pytest.raises(InputError, match=message):
        proxy(**options)
    with pytest.raises(InputError, match='shape is needed, the image for which macs is counted'):
        ProxyTraining(make_space(load_config(CONFIG)), str(CONFIG), against='macs')


@pytest.mark.long
def test_comparison(tmp_path, monkeypatch, capsys):
    """The best network of a search and two published graphs, retrained; a second call trains nothing."""
    options = sample_options(tmp_path) | {'test_dataloader.batch_size': 3}
    objective = dict(type='ProxyTraining', metric='coco/bbox_mAP_50', options=options)
    path = config(tmp_path / 'proxy.py', objective=objective, trials=1, batch_size=1)
    search.run(path, tmp_path / 'run')
    script = str(ROOT / 'tools' / 'analysis_tools' / 'compare_searches.py')
    arguments = [str(tmp_path / 'run'), '--graphs', 'nas_fpn', 'fpn', '--epochs', '1', '--seeds', '0', '1']
    monkeypatch.setattr(sys, 'argv', [script, *arguments, '--workers', '2', '--out', str(tmp_path / 'compared')])
    runpy.run_path(script, run_name='__main__')
    first = capsys.readouterr().out
    assert first.count('\n| ') == 1 + 3  # the header and the networks
    assert '| best of run | ' in first
    assert load_config(tmp_path / 'compared' / 'network_0.py').val_dataloader.batch_size == 3  # the test split
    logs = sorted((tmp_path / 'compared').rglob('training.log'))
    assert len(logs) == 6
    contents = [log.read_bytes() for log in logs]
    runpy.run_path(script, run_name='__main__')
    assert [log.read_bytes() for log in logs] == contents
    assert capsys.readouterr().out.splitlines()[-3:] == first.splitlines()[-3:]
    with pytest.raises(InputError, match=r'has seeds \[0, 1\], the config has \[3\]'):
        compare([tmp_path / 'run'], tmp_path / 'compared', ['nas_fpn', 'fpn'], 1, [3])


def test_graphs_as_large_as_what_was_found(finished, tmp_path, monkeypatch):
    """Published graphs get the least width with which they have no fewer multiply-adds."""
    monkeypatch.setattr(retrain, 'train_all', lambda networks, *rest: [[0.0] for _ in networks])
    best, *others = compare([finished], tmp_path / 'out', ['fpn', 'bifpn'], 1, [0], equal_macs=True)
    for row in others:
        assert row.macs >= best.macs
        cfg = load_config(row.config)
        cfg.model.neck.out_channels = cfg.model.bbox_head.in_channels = cfg.model.neck.out_channels - 1
        assert count(cfg, (256, 256))[1] < best.macs
    monkeypatch.setattr(retrain, 'WIDEST', 2)
    with pytest.raises(InputError, match=r'--equal-macs: fpn has fewer than [0-9,]+ multiply-adds with 2 channels'):
        compare([finished], tmp_path / 'other', ['fpn'], 1, [0], equal_macs=True)


def test_table_of_a_comparison():
    rows = [Row('a', Path('a.py'), 1000, 2_500_000, (0.25, 0.35)), Row('b', Path('b.py'), 1000, 2_500_000, (0.3, 0.3))]
    lines = markdown(rows, (0, 1)).splitlines()
    assert lines[2] == '| a | 1,000 | 2.5 M | 25.0 | 35.0 | 30.0 ± 7.1 |'
    assert lines[3].endswith('| 30.0 ± 0.0 |')


def test_bad_comparison(tmp_path):
    with pytest.raises(InputError, match="--graphs: unknown graph 'stairs', known are fpn, pafpn, bifpn"):
        compare([tmp_path], tmp_path / 'out', ['stairs'])
    with pytest.raises(InputError, match='holds no search'):
        compare([tmp_path], tmp_path / 'out')


@pytest.fixture(scope='module')
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('finished')
    search.run(config(folder / 'macs.py', trials=2, batch_size=2), folder / 'run')
    return folder / 'run'


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(seed=3), r'has seed 0, the config has 3; resume with the same, or use another folder'),
        (dict(space=dict(type='NASFPNSpace', num_cells=8)), r"has space {'type': 'NASFPNSpace'}, the config has"),
    ],
)
def test_resume_of_another_search(tmp_path, finished, changes, message):
    with pytest.raises(InputError, match=message):
        search.run(config(tmp_path / 'other.py', **changes), finished, resume=True)


def test_resume_with_another_proxy(tmp_path, finished):
    """Another width or schedule of the networks that are trained gives rewards that cannot be compared."""
    for lines, part in (
        ('model = dict(test_cfg=dict(nms_pre=500))', 'model'),
        ('train_cfg = dict(max_epochs=9)', 'train_cfg'),
        ('train_dataloader = dict(batch_size=3)', 'train_dataloader'),
    ):
        path = config(tmp_path / 'other.py', trials=2, batch_size=2)
        path.write_text(path.read_text() + lines)
        with pytest.raises(InputError, match=rf'has proxy\.{part} .*resume with the same, or use another folder'):
            search.run(path, finished, resume=True)


def test_a_second_driver_is_refused(finished, tmp_path):
    held = 'import sys, time; from mmlight.runtime.work_dir import locked\n'
    held += "with locked(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, '-c', held, str(finished)], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == b'held\n'
            with pytest.raises(InputError, match='another process writes there'):
                search.run(config(tmp_path / 'macs.py', trials=2, batch_size=2), finished, resume=True)
        finally:
            other.kill()


def test_a_shortened_log_is_refused(finished, tmp_path):
    shutil.copytree(finished, tmp_path / 'run')
    log = tmp_path / 'run' / 'trials.jsonl'
    log.write_text(''.join(log.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(InputError, match=r'trials\.jsonl has 2 lines, the sampler in .* has learnt from 6: lines of'):
        search.run(config(tmp_path / 'macs.py', trials=2, batch_size=2), tmp_path / 'run', resume=True)


def test_the_proxy_is_kept(finished):
    """What was found is exported with the proxy it was found with, whatever becomes of its config."""
    (finished.parent / 'macs.py').unlink()
    export(finished, finished / 'best.py')
    assert 'search' not in load_config(finished / 'best.py')
    with pytest.raises(InputError, match='--latency: needs --shape'):
        write(finished, latency=True)
    with pytest.raises(InputError, match='--rank 99: the search has 2 evaluated networks, the first is 0'):
        export(finished, finished / 'best.py', rank=99)


def one_trial(folder: Path, name: str) -> Path:
    """A search with a shipped config that has evaluated one network."""
    cfg = search.load_search(name)
    cfg.search.objective.pop('config')
    folder.mkdir()
    cfg.dump(folder / 'search.py')
    space = make_space(cfg)
    header = dict(sampler=dict(type='RandomSampler'), seed=0)
    log, choices = TrialLog(folder / 'trials.jsonl', header), space.sample(random.Random(0))
    log.append(dict(event='issued', trial=0, generation=0, choices=choices, key=space.key(choices)))
    log.append(dict(event='done', trial=0, metrics=dict(reward=0.5)))
    return folder


def test_report_shows_cells(tmp_path):
    one_trial(tmp_path / 'run', 'nasnet_fpn_retinanet_512_coco')
    assert '![graphs](graphs.png)' in write(tmp_path / 'run').read_text()
    assert (tmp_path / 'run' / 'report' / 'graphs.png').stat().st_size > 5000


def test_report_of_a_search_that_has_just_begun(tmp_path):
    log = one_trial(tmp_path / 'run', 'nas-fpn_shufflenet-v2_sample') / 'trials.jsonl'
    log.write_text(log.read_text().splitlines()[0] + '\n')
    assert 'No network was evaluated.' in write(tmp_path / 'run').read_text()
    log.write_text('')
    with pytest.raises(InputError, match=r'its trials.jsonl is empty'):
        write(tmp_path / 'run')


@pytest.mark.parametrize(
    ('name', 'part', 'expected', 'head'),
    [
        ('spinenet_proxy_512_coco', 'backbone', dict(block_repeats=2, endpoint_channels=8), (8, 8)),
        ('nasnet_fpn_retinanet_512_coco', 'backbone', dict(num_cells=2, channels=8), (64, 64)),
        ('nas-fpn_r10_retinanet_512_coco', 'neck', dict(stack_times=2, out_channels=8), (8, 8)),
    ],
)
def test_growing_after_the_search(tmp_path, name, part, expected, head):
    export(one_trial(tmp_path / 'run', name), tmp_path / 'best.py', stack=2, width=8)
    cfg = load_config(tmp_path / 'best.py')
    assert {key: cfg.model[part][key] for key in expected} == expected
    assert (cfg.model.bbox_head.in_channels, cfg.model.bbox_head.feat_channels) == head
    assert count(cfg, (128, 128))[0] > 0  # it runs: all channels fit
    with pytest.raises(InputError, match='--width: must be at least 1, got 0'):
        export(tmp_path / 'run', tmp_path / 'best.py', width=0)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(space=dict(type='Hyperspace')),
            r"search.space.type: unknown space 'Hyperspace', known .*NASFPNSpace",
        ),
        (dict(sampler=dict(type='RNNController', speed=3)), r"config key search.sampler: .* unexpected .* 'speed'"),
        (dict(space='NASFPNSpace'), "search.space: must be a dict with a type, got 'NASFPNSpace'"),
        (dict(objective=dict(type='MACs', target=0, shape=(64, 64))), 'MACs: target must be a number above 0, got 0'),
        (dict(objective=dict(type='MACs', target=1e6, shape=64)), 'MACs: shape must be height and width'),
        (dict(colour='red'), "`search` has the unknown key 'colour'"),
        (
            dict(sampler=dict(type='OptunaSampler', sampler='NSGAIISampler', directions=('maximize', 'minimize'))),
            r'search.sampler: has 2 direction\(s\), search.objective gives 1 value\(s\)',
        ),
        (dict(space=dict(type='SpineNetSpace')), 'model.backbone must be a mmlight.SpineNet, got .*ShuffleNetV2'),
    ],
)
def test_bad_config(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        search.run(config(tmp_path / 'bad.py', **changes), tmp_path / 'run')


def test_a_proxy_whose_channels_do_not_fit(tmp_path):
    path = config(tmp_path / 'bad.py')
    path.write_text(path.read_text() + 'model = dict(bbox_head=dict(in_channels=48))\n')
    with pytest.raises(InputError, match=r'does not run with a network of NASFPNSpace: .*channel'):
        search.run(path, tmp_path / 'run')


def test_the_command(tmp_path, capsys, monkeypatch):
    """`mmlight search`: trials by the command line, the next command at its end and after an interruption."""
    path = config(tmp_path / 'macs.py')
    arguments = ['search', str(path), '--work-dir', str(tmp_path / 'run'), '--backend', 'inline', '--trials', '3']
    assert main(arguments) == 0
    found = tmp_path / 'run' / 'best_0.py'
    assert f'train it: mmlight train {found}' in capsys.readouterr().out
    assert 'search' not in load_config(found)
    assert len(TrialLog(tmp_path / 'run' / 'trials.jsonl').of('done')) == 3
    assert main(arguments) == 2

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(MACs, '__call__', interrupted)
    assert main([*arguments[:-1], '9', '--resume']) == 130
    again = f'`mmlight search {path} --work-dir {tmp_path / "run"} --backend inline --trials 9 --resume` goes on'
    assert capsys.readouterr().err.splitlines()[-1] == f'interrupted; {again}'


def test_the_command_on_own_data(tmp_path):
    """The proxy and what is found train on the folder; the search is seeded anew."""
    generate(tmp_path / 'data', num_train=4, num_val=2, size=(128, 96), progress=False)
    path = config(tmp_path / 'macs.py')
    arguments = ['search', str(path), '--work-dir', str(tmp_path / 'run'), '--backend', 'inline', '--trials', '3']
    assert main([*arguments, '--data', str(tmp_path / 'data'), '--seed', '7']) == 0
    assert load_config(tmp_path / 'run' / 'search.py').search.seed == 7
    found = load_config(tmp_path / 'run' / 'best_0.py')
    assert str(tmp_path / 'data') in str(found.train_dataloader.dataset)
    assert str(tmp_path / 'data') in str(found.val_evaluator.ann_file)
