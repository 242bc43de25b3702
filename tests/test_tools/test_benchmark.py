"""The benchmark as a user runs it, on two small networks."""

import json

import pytest
import torch

from mmlight.measure.benchmark import Plan, benchmark, peak_memory
from mmlight.measure.complexity import measure
from mmlight.measure.latency import measure_latency

DETECTOR = 'thundernet_snet49_sample'
SEGMENTOR = 'mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py'
QUICK = ('--iterations', 2, '--repeats', 2, '--warmup', 0.01)


def test_one_run(run, tmp_path):
    columns = ['eager', 'bf16']
    arguments = [*QUICK, '--columns', *columns, '--json', tmp_path / 'x.json']
    code, out, _ = run('benchmark.py', f'{DETECTOR}@96', f'{SEGMENTOR}@64x96', *arguments)
    assert code == 0
    found = json.loads((tmp_path / 'x.json').read_text())
    assert {'device', 'torch', 'onnxruntime', 'python'} <= set(found['environment'])
    first, second = found['rows']
    assert (first['task'], second['task']) == ('detection', 'segmentation')
    assert (first['shape'], second['shape']) == ([96, 96], [64, 96])
    assert first['macs'] == measure(DETECTOR, (96, 96)).macs
    for row in (first, second):
        assert row['missing'] == {}
        assert row['memory'] > 0
        assert row['folded']
        times = row['latency']['1']['1']
        assert list(times) == columns
        for parts in times.values():
            assert parts['net']['p50'] > 0
            assert 0 < parts['e2e']['p50'] <= parts['e2e']['p95']
            assert [repeat['calls'] for repeat in parts['e2e']['repeats']] == [2, 2]
    header, _, *rows = out.splitlines()[:4]
    assert [cell.strip() for cell in header.split('|')[5:-3]] == columns
    assert all(row.count('|') == header.count('|') and row.count(' / ') == 2 for row in rows)


@pytest.mark.long
def test_threads_batches_and_parts(run):
    arguments = ['--threads', 1, 2, '--batch', 1, 2, '--parts', 'net', '--columns', 'fused']
    code, out, _ = run('benchmark.py', f'{DETECTOR}@64', *QUICK, *arguments)
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith(('1 thread,', '2 threads,'))] == [
        f'{threads}, batch {batch}:' for threads in ('1 thread', '2 threads') for batch in (1, 2)
    ]
    assert torch.get_num_threads() == 1


@pytest.mark.long
def test_onnx_runtime(run):
    arguments = [*QUICK, '--columns', 'onnx', '--batch', 2]
    code, out, _ = run('benchmark.py', f'{SEGMENTOR}@64', *arguments)
    assert code == 0
    assert out.splitlines()[2].count(' / ') == 1
    assert '* no' not in out


def test_what_a_network_cannot_have_is_told(run):
    """Two-stage detectors are exported for one image; the other columns stand."""
    code, out, _ = run(
        'benchmark.py', f'{DETECTOR}@64', *QUICK, '--batch', 2, '--columns', 'fused', 'onnx', '--parts', 'e2e'
    )
    assert code == 0
    assert '* no onnx e2e: onnx: the second stage takes one image (thundernet_snet49_sample)' in out


@pytest.mark.long
@pytest.mark.parametrize(
    'config',
    [
        'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
        'mmdet::detr/detr_r18_8xb2-500e_coco.py',
        'mmseg::ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024.py',
    ],
)
def test_heads_in_a_row_and_heads_of_queries(config):
    (row,) = benchmark([f'{config}@64'], Plan(columns=('fused',), iterations=1, repeats=1, warmup_seconds=0))
    assert row.folded
    assert row.missing == {}
    assert set(row.latency[1][1]['fused']) == {'net', 'e2e'}


def test_sizes_and_batches_that_only_some_can_have(run, tmp_path):
    """One config at two sizes; a batch that nothing can be measured with leaves the other batch's figures."""
    arguments = ['--batch', 1, 2, '--columns', 'onnx', '--parts', 'e2e', '--json', tmp_path / 'x.json']
    code, _, _ = run('benchmark.py', f'{DETECTOR}@64', f'{DETECTOR}@64x96', *QUICK, *arguments)
    assert code == 0
    rows = json.loads((tmp_path / 'x.json').read_text())['rows']
    assert [(row['name'], row['shape']) for row in rows] == [(DETECTOR, [64, 64]), (DETECTOR, [64, 96])]
    assert [list(row['latency']['1']) for row in rows] == [['1'], ['1']]


def test_warm_up_lasts_as_long_as_asked(monkeypatch):
    """Also of a network that is called fifty times in less."""
    found = []
    monkeypatch.setattr(
        'mmlight.measure.benchmark.measure_latency',
        lambda *args, **kw: found.append(measure_latency(*args, **kw)) or found[-1],
    )
    benchmark(
        [f'{SEGMENTOR}@64'], Plan(columns=('fused',), parts=('net',), iterations=1, repeats=1, warmup_seconds=0.5)
    )
    warm, measured = ((next(iter(times.values()))) for times in found)
    assert warm.mean * warm.repeats[0].calls > 0.9 * 500
    assert measured.repeats[0].calls == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['gone_config'], 'error: config gone_config: neither a file'),
        ([f'{DETECTOR}@x'], "size 'x'; must be HEIGHTxWIDTH"),
        ([f'{DETECTOR}@64', f'{DETECTOR}@64'], f'error: configs: {DETECTOR} is given twice'),
        ([DETECTOR, '--columns', 'fast'], 'error: --columns fast: allowed are eager, fused'),
        ([DETECTOR, '--columns', 'fp16'], 'error: --columns fp16: needs a GPU, this run is on the cpu'),
        ([DETECTOR, '--columns', 'cuda-graph'], 'error: --columns cuda-graph: needs a GPU'),
        ([DETECTOR, '--parts', 'head'], 'error: --parts head: allowed are net, e2e'),
        ([DETECTOR, '--threads', 0], 'error: --threads: [0]; numbers of at least 1'),
        ([DETECTOR, '--batch', -1], 'error: --batch: [-1]; numbers of at least 1'),
        ([DETECTOR, '--iterations', 0], 'error: --iterations 0: must be 1 or more'),
        ([DETECTOR, '--device', 'cuda:9'], 'error: --device cuda:9'),
        ([], 'error: the following arguments are required'),
    ],
)
def test_bad_input(run, arguments, message):
    code, _, err = run('benchmark.py', *arguments)
    assert code == 2
    assert message in err
    assert 'Traceback' not in err


def test_memory_of_a_call():
    def call():
        first = torch.zeros(1024, 1024)  # 4 MiB
        second = first + 1
        del first
        return second * 2

    assert peak_memory(call) == pytest.approx(8, rel=0.01)
