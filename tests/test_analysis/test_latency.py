"""Latency: the order of the calls, and statistics of functions that sleep."""

import json
import time
from functools import partial

import pytest

from mmlight.analysis.latency import machine, measure_latency
from mmlight.errors import InputError


def test_functions_are_called_in_turns():
    calls = []
    found = measure_latency({'a': partial(calls.append, 'a'), 'b': partial(calls.append, 'b')}, 3, warmup_rounds=1)
    assert calls == ['a', 'b'] * (1 + 3 * 3)
    assert [repeat.calls for repeat in found['b'].repeats] == [3, 3, 3]


def test_statistics():
    waits = iter([0.005] * 2 + [0.002] * 9 + [0.05] + [0.004] * 10)  # warm-up; a repeat with an outlier; a slower one
    found = measure_latency({'sleep': lambda: time.sleep(next(waits))}, 10, repeats=2)['sleep']
    first, second = found.repeats
    assert 2 <= first.p50 < first.mean
    assert first.p95 > 10
    assert second.p50 >= 4
    assert found.fps == pytest.approx(1000 / found.mean)
    assert found.spread == pytest.approx(second.p50 / first.p50 - 1)
    assert not found.steady
    data = json.loads(json.dumps(found.to_dict()))
    assert (data['repeats'][1]['calls'], data['steady']) == (10, False)


def test_a_repeat_lasts_as_long_as_asked():
    found = measure_latency({'sleep': partial(time.sleep, 0.002)}, rounds=1, seconds=0.02, repeats=1)['sleep']
    assert found.repeats[0].calls <= 10
    assert found.mean * found.repeats[0].calls >= 20
    assert found.spread == 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(functions={}), 'none given'),
        (dict(rounds=0), 'rounds: 0; must be 1'),
        (dict(repeats=0), 'repeats: 0; must be 1'),
        (dict(warmup_rounds=-1), 'warmup_rounds: -1; must be 0'),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        measure_latency(**{'functions': {'a': int}, **arguments})


def test_machine():
    assert {'device', 'threads', 'torch'} <= set(json.loads(json.dumps(machine())))
