"""The hook and the search loops on real detectors, and what they leave behind."""

import copy
import json
import random
import runpy
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from cr_configs import CONFIGS, checkpoint, tiny
from mmdet.evaluation import CocoMetric
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner

from mmlight.errors import InputError
from mmlight.nas.log import TrialLog
from mmlight.nas.one_shot import PathSamplingHook, greedy_beam, recalibrated
from mmlight.nas.one_shot.checks import check_data
from mmlight.nas.one_shot.coco_metric import ExactCocoMetric
from mmlight.nas.one_shot.paths import check_config
from mmlight.nas.one_shot.recalibration import training_batches
from mmlight.nas.one_shot.searchers import evaluations
from mmlight.runtime.inference import build
from mmlight.runtime.run import build_runner
from mmlight.runtime.train import train


@pytest.mark.parametrize(('blocks', 'number'), [(8, 66), (16, 138), (33, 291)])
def test_evaluations_of_the_greedy_search(blocks, number):
    calls = []
    list(greedy_beam(blocks, (1, 2, 3), lambda path: calls.append(path) or 0.0))
    assert len(calls) == len(set(calls)) == number == evaluations(blocks, 3, 3)


def test_greedy_search_finds_the_optimum_of_a_sum():
    gains = np.random.default_rng(0).normal(size=(12, 3))
    *_, last = greedy_beam(12, (1, 2, 3), lambda path: sum(gains[i, op - 1] for i, op in enumerate(path)))
    assert last.beam[0][0] == tuple(gains.argmax(1) + 1)


def test_ties_go_to_the_smaller_dilations():
    *_, last = greedy_beam(4, (1, 2, 3), lambda path: 0.5)
    assert last.beam[0][0] == (1, 1, 1, 1)


def events(work_dir: Path) -> list[dict]:
    return TrialLog(work_dir / 'search.jsonl').of('done')


def searched(cfg: Config) -> Runner:
    runner = build_runner(cfg, 'train')
    runner.train()
    return runner


def again(runner: Runner, work_dir: Path, **options) -> BaseLoop:
    """The loop of a runner once more, with other settings or another folder."""
    settings = {key: value for key, value in runner.cfg.train_cfg.items() if key != 'type'}
    loop = type(runner.train_loop)(runner, runner.train_dataloader, **{**settings, 'targets': [], **options})
    loop.work_dir = work_dir
    return loop


@pytest.fixture(scope='module')
def stage(split, tmp_path_factory):
    """A whole stage search."""
    folder = tmp_path_factory.mktemp('stage')
    cfg = tiny('stage-search_r18-8blocks_sample', split, folder / 'run', **{'train_cfg.recalibration': 2})
    cfg.train_cfg.targets = [str(CONFIGS / 'op-supernet_r18_sample.py')]
    cfg.load_from = str(checkpoint(cfg, folder / 'supernet.pth'))
    return searched(cfg)


def test_stage_search(stage):
    folder = Path(stage.work_dir)
    done = events(folder)
    assert len(done) == 4 + 2  # the anchor is one of the four, and scored twice more
    assert {event['metrics']['toy/images'] for event in done} == {4}
    scores = {tuple(event['path']): event['score'] for event in done if not event['draw']}
    assert len(set(scores.values())) == 4
    assert len({event['score'] for event in done if event['path'] == [2, 2, 2, 2]}) == 3
    best = json.loads((folder / 'best.json').read_text())
    assert best['score'] == max(scores.values()) == scores[tuple(best['path'])]
    report = (folder / 'report.md').read_text()
    assert report.startswith(f'# Stage search: {", ".join(map(str, best["path"]))}')
    assert '(anchor)' in report
    assert (folder / 'ranking.png').stat().st_size > 1000


def test_search_leaves_the_supernet_as_found(stage):
    before = torch.load(stage.cfg.load_from)['state_dict']
    after = stage.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert stage.model.backbone.path == (2, 2, 2, 2)


def test_result_of_the_stage_search(stage):
    folder = Path(stage.work_dir)
    best = json.loads((folder / 'best.json').read_text())
    alone = copy.deepcopy(stage.cfg)
    alone.model.backbone = Config.fromfile(folder / 'best.py').model.backbone
    model = build(alone)
    model.load_state_dict(torch.load(folder / 'best.pth')['state_dict'], strict=True)
    model.eval()
    supernet = stage.model
    supernet.eval()
    supernet.backbone.set_path(best['path'])
    image = torch.rand(1, 3, 64, 64)
    for own, other in zip(model.extract_feat(image), supernet.extract_feat(image), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-6)
    supernet.backbone.set_path(supernet.backbone.anchor)
    found = Config.fromfile(folder / 'best' / 'op-supernet_r18_sample.py')
    assert tuple(found.model.backbone.stage_blocks) == tuple(best['path'])
    assert build(found).backbone.base_channels == 16  # the target's own width


@pytest.mark.parametrize('kept', [pytest.param(0, marks=pytest.mark.long), 3, pytest.param(6, marks=pytest.mark.long)])
def test_an_interrupted_search_goes_on(stage, tmp_path, kept):
    lines = (Path(stage.work_dir) / 'search.jsonl').read_text().splitlines(keepends=True)
    cut = ''.join(lines[: kept + 1]) + '{"event": "done", "pa'  # torn by a kill
    (tmp_path / 'search.jsonl').write_text(cut)
    again(stage, tmp_path, targets=[]).run()
    expected, found = events(Path(stage.work_dir)), events(tmp_path)
    names = ('path', 'draw', 'score')
    assert [[e[name] for name in names] for e in found] == [[e[name] for name in names] for e in expected]
    assert found[:kept] == expected[:kept]
    assert (tmp_path / 'best.json').read_text() == (Path(stage.work_dir) / 'best.json').read_text()


def test_another_seed_measures_other_statistics(stage, tmp_path):
    inherited, seeded = again(stage, tmp_path, recalibration=0), again(stage, tmp_path, seed=1)
    expected = events(Path(stage.work_dir))[0]
    scores = {loop._compute(tuple(expected['path']), 0)['toy/confidence'] for loop in (inherited, seeded)}
    assert len(scores | {expected['score']}) == 3


@pytest.fixture(scope='module')
def op(split, tmp_path_factory):
    """A whole operation search."""
    folder = tmp_path_factory.mktemp('op')
    cfg = tiny('op-search_r18_sample', split, folder / 'run', **{'train_cfg.width': 2, 'train_cfg.num_images': 3})
    cfg.train_cfg.targets = [str(CONFIGS / 'faster-rcnn_r18_sample.py')]
    cfg.load_from = str(checkpoint(cfg, folder / 'supernet.pth'))
    return searched(cfg)


def test_operation_search(op):
    folder = Path(op.work_dir)
    done = events(folder)
    assert len(done) == evaluations(4, 2, 2) == 14
    assert {event['metrics']['toy/images'] for event in done} == {3}
    assert [len(event['path']) for event in done] == [1] * 2 + [2] * 4 + [3] * 4 + [4] * 4
    best = json.loads((folder / 'best.json').read_text())
    assert best['score'] == max(event['score'] for event in done[-4:])
    found = Config.fromfile(folder / 'best' / 'faster-rcnn_r18_sample.py').model.backbone
    assert tuple(found.block_dilations) == tuple(best['path'])
    assert tuple(found.stage_blocks) == (1, 1, 1, 1)
    assert '| 4 | 4 |' in (folder / 'report.md').read_text()
    before, after = torch.load(op.cfg.load_from)['state_dict'], op.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_candidates_share_the_completions(op, tmp_path):
    """All candidates of a block see the same rest, another block's see another."""
    loop, seen = again(op, tmp_path), []
    op.model.backbone.register_forward_pre_hook(lambda network, args: seen.append(network.path))
    for begun in ((1,), (2,), (1, 1)):
        loop._compute(begun)
    paths = [seen[:3], seen[3:6], seen[6:]]
    assert [[path[1:] for path in one] for one in paths[:2]] == [[path[1:] for path in paths[0]]] * 2
    assert {path[0] for path in paths[1]} == {2}
    assert len(set(seen)) > 3


def test_score_of_a_complete_path_is_that_of_the_network_cut_out(op):
    folder = Path(op.work_dir)
    alone = copy.deepcopy(op.cfg)
    alone.model.backbone = Config.fromfile(folder / 'best.py').model.backbone
    model = build(alone)
    model.load_state_dict(torch.load(folder / 'best.pth')['state_dict'], strict=True)
    model.eval()
    with torch.no_grad():
        batches = [batch for _, batch in zip(range(3), op.val_dataloader, strict=False)]
        total = sum(float(model.val_step(batch)[0].pred_instances.scores.double().sum()) for batch in batches)
    assert total / 3 == pytest.approx(json.loads((folder / 'best.json').read_text())['score'], abs=1e-5)


def test_unrounded_metric(split):
    ann_file = str(split / 'annotations' / 'instances_val.json')
    data = json.loads(Path(ann_file).read_text())
    rng, results = np.random.default_rng(0), []
    names = [category['name'] for category in data['categories']]
    labels = {category['id']: i for i, category in enumerate(data['categories'])}
    for image in data['images']:
        boxes = [one for one in data['annotations'] if one['image_id'] == image['id']]
        corners = np.array([[x, y, x + w, y + h] for x, y, w, h in (one['bbox'] for one in boxes)], float)
        results.append(dict(img_id=image['id'], ori_shape=(96, 128), pred_instances=dict(
            bboxes=torch.tensor(corners + rng.normal(size=corners.shape)), scores=torch.rand(len(boxes)),
            labels=torch.tensor([labels[one['category_id']] for one in boxes]))))  # fmt: skip
    found = []
    for metric in (CocoMetric(ann_file=ann_file), ExactCocoMetric(ann_file=ann_file)):
        metric.dataset_meta = dict(classes=names)
        metric.process({}, results)
        found.append(metric.evaluate(len(results)))
    assert 0.1 < found[0]['coco/bbox_mAP'] < 0.9
    assert found[0].keys() == found[1].keys()
    assert {name: round(value, 3) for name, value in found[1].items()} == found[0]
    assert found[1]['coco/bbox_mAP'] != found[0]['coco/bbox_mAP']
    metric.process({}, [{**results[0], 'pred_instances': {k: v[:0] for k, v in results[0]['pred_instances'].items()}}])
    assert metric.evaluate(1)['coco/bbox_mAP'] == 0


def test_recalibration(stage):
    """Statistics are averages over the batches, of the path only, and everything is put back."""
    model = stage.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.backbone.set_path((1, 2, 2, 3))
    loader = stage.train_dataloader
    batches = list(training_batches(loader, 4, 3, seed=1))
    assert len(batches) == 3
    assert [len(batch['inputs']) for batch in batches] == [4, 4, 4]
    first = []
    for batch in batches:
        inputs = model.data_preprocessor(copy.deepcopy(batch), True)['inputs']
        first.append(model.backbone.conv1(inputs).mean((0, 2, 3)))
    with recalibrated(model, batches):
        assert not model.training
        after = {name: value.clone() for name, value in model.state_dict().items()}
    torch.testing.assert_close(after['backbone.bn1.running_mean'], sum(first) / 3)
    changed = {name for name in before if 'running' in name and not torch.equal(before[name], after[name])}
    assert 'backbone.layer2.2.1.bn2.running_var' in changed
    reset = {name for name in changed if name.startswith('backbone.layer2.1.')}
    assert all(after[name].unique().numel() == 1 for name in reset)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(
        torch.equal(before[name], after[name]) for name in before if 'running' not in name and 'num_b' not in name
    )
    model.backbone.set_path(model.backbone.anchor)
    repeated = list(training_batches(loader, 4, 3, seed=1))
    assert all(map(torch.equal, batches[0]['inputs'], repeated[0]['inputs']))
    other = list(training_batches(loader, 4, 3, seed=1, draw=1))
    assert not all(map(torch.equal, batches[0]['inputs'], other[0]['inputs']))


@HOOKS.register_module()
class RememberPaths(Hook):
    """Notes each step's path; a key is pressed before step ``stop``."""

    priority = 'LOWEST'
    paths: dict = {}
    stop: int | None = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.stop:
            raise KeyboardInterrupt
        self.paths[runner.iter] = runner.model.backbone.path


def test_path_of_a_step(stage):
    backbone = stage.model.backbone

    def paths(steps):
        found, hook = [], PathSamplingHook()
        hook.before_run(stage)
        hook.before_train(stage)
        for stage.train_loop.iter in steps:
            hook.before_train_iter(stage, 0)
            found.append(backbone.path)
        hook.before_val_epoch(stage)
        assert backbone.path == backbone.anchor == (2, 2, 2, 2)
        return found

    whole = paths(range(12))
    assert len(set(whole)) > 3
    assert paths(range(7, 12)) == whole[7:]
    assert whole == [backbone.sample_path(random.Random(f'{stage.seed} {step}')) for step in range(12)]


@pytest.mark.long
def test_resumed_training_takes_the_same_paths(split, tmp_path):
    def run(folder, stop=None, resume=None):
        cfg = tiny('stage-supernet_r18_sample', split, tmp_path / folder)
        cfg.train_cfg.max_epochs, cfg.train_cfg.val_begin = 3, 4
        cfg.custom_hooks.append(dict(type='RememberPaths'))
        RememberPaths.paths, RememberPaths.stop = {}, stop
        with suppress(KeyboardInterrupt):
            return RememberPaths.paths, train(cfg, resume=resume).model
        return RememberPaths.paths, None

    whole, expected = run('whole')
    assert whole.keys() == set(range(6))
    first, _ = run('cut', stop=3)
    rest, resumed = run('cut', resume='auto')
    assert rest.keys() == {2, 3, 4, 5}
    assert first | rest == whole
    for name, value in expected.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


@pytest.mark.parametrize(('options', 'message'), [
    (dict(budget=14), r'budget 14 has no allocation, the nearest budgets are 9 and 10'),
    (dict(max_params=10), r'max_params 10 leaves no allocation, the least is'),
    (dict(recalibration=-1), r'recalibration must be an integer of at least 0, got -1'),
    (dict(num_images=0), r'num_images must be an integer of at least 1, got 0'),
    (dict(targets=['faster-rcnn_r19_sample']), r'config faster-rcnn_r19_sample: neither a file nor'),
    (dict(targets=['thundernet_snet49_sample']), r'its backbone must be a mmlight.CR... with stage_blocks, got'),
])  # fmt: skip
def test_stage_search_refuses(stage, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        again(stage, tmp_path, **options)


@pytest.mark.parametrize('key', ['compile', 'activation_checkpointing', 'efficient_conv_bn_eval'])
def test_settings_that_cannot_work_with_a_supernet(stage, tmp_path, monkeypatch, key):
    monkeypatch.setitem(stage.cfg._cfg_dict, key, True)
    for check in (lambda: again(stage, tmp_path), lambda: PathSamplingHook().before_run(stage)):
        with pytest.raises(InputError, match=f'config key {key}: must not be set with a supernet'):
            check()


def test_settings_of_the_wrapper():
    with pytest.raises(InputError, match=r'config key model_wrapper_cfg.detect_anomalous_params: must not be set'):
        check_config(Config(dict(model_wrapper_cfg=dict(detect_anomalous_params=True))))


def test_metric_that_is_not_there(stage, tmp_path):
    with pytest.raises(InputError, match=r"metric 'AP' is not among toy/confidence, toy/images"):
        again(stage, tmp_path, metric='AP', recalibration=0).run()


def test_no_search_on_random_weights(stage, tmp_path, monkeypatch):
    monkeypatch.setitem(stage.cfg._cfg_dict, 'load_from', None)
    with pytest.raises(InputError, match=r'load_from must name the checkpoint of the trained supernet'):
        again(stage, tmp_path)
    assert again(stage, tmp_path, random_weights=True)
    state = torch.load(Path(stage.work_dir).parent / 'supernet.pth')['state_dict']
    for name, change in (('0 of the', lambda key: f'net.{key}'), ('missing', lambda key: key.replace('layer4.4', 'x'))):
        torch.save({'state_dict': {change(key): value for key, value in state.items()}}, tmp_path / 'other.pth')
        monkeypatch.setitem(stage.cfg._cfg_dict, 'load_from', str(tmp_path / 'other.pth'))
        with pytest.raises(InputError, match=f'other.pth: .*{name}.* it belongs to another model'):
            again(stage, tmp_path)


def test_another_search_in_the_work_dir_is_refused(stage):
    with pytest.raises(InputError, match=r'has recalibration 2, the config has 5'):
        again(stage, Path(stage.work_dir), recalibration=5).run()
    with torch.no_grad():
        stage.model.backbone.conv1.weight.add_(1)
        with pytest.raises(InputError, match=r"has supernet '\w+', the config has '\w+'"):
            again(stage, Path(stage.work_dir)).run()
        stage.model.backbone.conv1.weight.sub_(1)


def test_images_that_are_learnt_or_reported_on_are_refused(stage, split):
    val, train = stage.val_dataloader.dataset, stage.train_dataloader.dataset
    check_data(stage.cfg, train, val)
    with pytest.raises(InputError, match=r'val_dataloader: 4 of its images are of train_dataloader too'):
        check_data(stage.cfg, val, val)
    cfg = Config(dict(test_dataloader=stage.cfg.val_dataloader, default_scope='mmdet'))
    with pytest.raises(InputError, match=r'4 of its images are of test_dataloader too .*arch_split.py makes a split'):
        check_data(cfg, train, val)
    cfg.test_dataloader.dataset.ann_file = f'{split}/gone.json'  # not on this disk
    check_data(cfg, train, val)


def test_hook_refuses(stage, monkeypatch):
    hook = PathSamplingHook()
    hook.before_run(stage)
    saver = next(hook for hook in stage.hooks if isinstance(hook, CheckpointHook))
    monkeypatch.setattr(saver, 'save_best', ['auto'])
    with pytest.raises(InputError, match=r'default_hooks.checkpoint.save_best: must be None with a supernet'):
        hook.before_run(stage)
    monkeypatch.undo()
    monkeypatch.setattr(stage, '_distributed', True)
    hook.before_run(stage)
    monkeypatch.setitem(stage.cfg._cfg_dict, 'find_unused_parameters', False)
    with pytest.raises(InputError, match=r'find_unused_parameters: must be True with a supernet on several processes'):
        hook.before_run(stage)
    monkeypatch.setattr(stage.model, 'backbone', torch.nn.Identity())
    with pytest.raises(InputError, match=r'model.backbone: must be a supernet .* got Identity'):
        hook.before_run(stage)


def test_split_tool(split, tmp_path):
    tool = runpy.run_path(str(CONFIGS.parents[1] / 'tools' / 'dataset_converters' / 'arch_split.py'))['split']
    source = split / 'annotations' / 'instances_train.json'
    first, second = (tool(source, 4, out=tmp_path / name) for name in 'ab')
    assert [path.name for path in first] == ['instances_archtrain.json', 'instances_archval.json']
    assert list(first.values()) == [8, 4]
    ids = [{image['id'] for image in json.loads(path.read_text())['images']} for path in first]
    assert not ids[0] & ids[1]
    assert len(ids[0] | ids[1]) == 12
    assert (tmp_path / 'a' / 'instances_archval.txt').read_text().split() == [str(i) for i in sorted(ids[1])]
    assert [path.read_text() for path in first] == [path.read_text() for path in second]
    assert (
        json.loads(next(reversed(first)).read_text())['images']
        != json.loads(next(reversed(tool(source, 4, seed=1, out=tmp_path / 'c'))).read_text())['images']
    )
    with pytest.raises(InputError, match=r'--never .*: 12 of its images are in'):
        tool(source, 4, never=source)
    with pytest.raises(InputError, match=r'--num-val 12: must be between 1 and 11'):
        tool(source, 12)
