"""The scripts about costs, run as a user runs them."""

import json

import cv2

CONFIG = 'thundernet_snet49_sample'


def test_layer_costs(run, tmp_path):
    code, out, _ = run(
        'layer_costs.py', CONFIG, '--shape', 96, '--repeats', 3, '--plot', tmp_path / 'costs.png', '--top', 4
    )
    assert code == 0
    assert 'The 4 layers with the most time' in out
    assert 'G4 few element-wise operators' in out
    assert cv2.imread(str(tmp_path / 'costs.png')).std() > 10
    code, out, _ = run(
        'layer_costs.py', CONFIG, '--shape', 96, '--repeats', 0, '--backbone', '--json', '--fuse-conv-bn'
    )
    found = json.loads(out)
    assert (code, found['name'], found['latency']) == (0, 'SNet', None)
    assert found['macs'] == sum(layer['macs'] for layer in found['layers'])
    for arguments, message in (
        (['thundernet_snet48_sample'], 'error: config thundernet_snet48_sample'),
        ([CONFIG, '--shape', 0], 'error: shape: [0]'),
        ([CONFIG, '--repeats', -1], 'error: repeats: -1'),
        ([CONFIG, '--device', 'tpu'], "error: --device 'tpu'"),
    ):
        code, _, err = run('layer_costs.py', *arguments)
        assert code == 2
        assert err.startswith(message)
        assert err.count('\n') == 1


def test_benchmark_guidelines(run):
    code, out, _ = run('benchmark_guidelines.py', 'G1', '--rounds', 1)
    assert code == 0
    assert all(f' {ratio} ' in out for ratio in ('1.000', '1.059', '1.420', '1.859'))
    code, out, _ = run('benchmark_guidelines.py', 'G2', '--rounds', 1, '--json')
    rows = json.loads(out)['experiments']['G2']
    assert [row['accesses'] // 10 for row in rows] == [819200, 1145160, 1622016, 2274120]  # ten layers
    assert all(row['latency']['p50'] > 0 for row in rows)
    code, _, err = run('benchmark_guidelines.py', 'G5')
    assert (code, err) == (2, 'error: guideline G5: allowed are G1, G2, G3, G4 (see benchmark_guidelines.py --help)\n')


def test_benchmark_ps_roi_align(run):
    """The size that Light-Head R-CNN's comparison is about; memory is exact, time on a busy machine is not."""
    code, out, _ = run('benchmark_ps_roi_align.py', '--channels', 490, '--repeats', 1)
    assert code == 0
    ratios = {line[:28].strip(): float(line.split()[-1][:-1]) for line in out.splitlines() if line.endswith('x')}
    assert ratios['forward, memory'] >= 20
    assert ratios['forward + backward, memory'] >= 20
    assert ratios['forward, time'] >= 5
    for arguments, message in (
        (['--channels', 500], '--channels must be a multiple of 49, got 500'),
        (['--rois', 0], '--rois must be 1 or more, got 0'),
        (['--device', 'tpu'], "--device 'tpu'"),
    ):
        code, _, err = run('benchmark_ps_roi_align.py', *arguments)
        assert (code, err.count('\n')) == (2, 1)
        assert message in err


def test_compare_detectors(run, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('<!-- begin table -->\n<!-- end table -->\n')
    code, out, _ = run('compare_detectors.py', f'{CONFIG}@96', '--rounds', 1, '--repeats', 1, '--page', page,
                       '--json', tmp_path / 'figures.json')  # fmt: skip
    assert code == 0
    assert f'| {CONFIG} |' in out
    assert out.strip() in page.read_text()
    (found,) = json.loads((tmp_path / 'figures.json').read_text())['detectors']
    assert found['complexity']['shape'] == [96, 96]
    assert run('compare_detectors.py')[::2] == (
        2,
        'error: no detectors: give configs or --baselines (see compare_detectors.py --help)\n',
    )
