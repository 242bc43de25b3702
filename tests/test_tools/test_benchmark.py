"""The benchmark as a user runs it, on two small networks."""

import json

import pytest
import torch

from mmlight.analysis.benchmark import peak_memory
from mmlight.analysis.complexity import measure

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


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['gone_config'], 'error: config gone_config: neither a file'),
        ([f'{DETECTOR}@x'], "size 'x'; must be HEIGHTxWIDTH"),
        ([DETECTOR, DETECTOR], f'error: configs: {DETECTOR} is given twice'),
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
