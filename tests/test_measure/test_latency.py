"""Latency: the order of the calls, their times, and the statistics of given times."""

import json
import time
from functools import partial

import pytest

from mmlight.errors import InputError
from mmlight.measure.latency import Latency, machine, measure_latency


def test_functions_are_called_in_turns():
    calls = []
    found = measure_latency({'a': partial(calls.append, 'a'), 'b': partial(calls.append, 'b')}, 3, warmup_rounds=1)
    rounds = [''.join(calls[i : i + 2]) for i in range(0, len(calls), 2)]
    assert len(rounds) == 1 + 3 * 3
    assert set(rounds) == {'ab', 'ba'}
    assert [repeat.calls for repeat in found['b'].repeats] == [3, 3, 3]


def test_statistics():
    found = Latency.of([[2.0] * 9 + [52.0], [4.0] * 10])  # an outlier; a slower repeat
    first, second = found.repeats
    assert (first.calls, first.mean, first.p50, second.p50) == (10, 7, 2, 4)
    assert first.p95 == pytest.approx(2 + 0.55 * 50)  # between the ninth and the tenth call
    assert (found.mean, found.p50, found.spread, found.steady) == (5.5, 4, 1, False)
    assert found.fps == pytest.approx(1000 / 5.5)
    assert str(found) == '4.0 ± 100%'
    assert str(Latency.of([[4.0]])) == '4.0'
    data = json.loads(json.dumps(found.to_dict()))
    assert (data['repeats'][1]['calls'], data['steady']) == (10, False)


def test_calls_are_timed():
    """Sleeping takes at least as long as asked, however busy the machine is."""
    waits = iter([0.03] * 2 + [0.002] * 4 + [0.004] * 4)
    found = measure_latency({'sleep': lambda: time.sleep(next(waits))}, 4, repeats=2, warmup_rounds=2)['sleep']
    assert [repeat.calls for repeat in found.repeats] == [4, 4]
    assert found.repeats[0].p50 >= 2
    assert found.repeats[1].p50 >= 4


def test_a_repeat_lasts_as_long_as_asked():
    found = measure_latency({'sleep': partial(time.sleep, 0.002)}, rounds=1, seconds=0.02, repeats=1)['sleep']
    assert found.repeats[0].calls <= 10
    assert found.mean * found.repeats[0].calls >= 20
    assert found.spread == 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(functions={}), 'none given'),
        (dict(rounds=0), 'rounds must be an integer of at least 1, got 0'),
        (dict(repeats=0), 'repeats must be an integer of at least 1, got 0'),
        (dict(warmup_rounds=-1), 'warmup_rounds must be an integer of at least 0, got -1'),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        measure_latency(**{'functions': {'a': int}, **arguments})


def test_machine():
    assert {'device', 'threads', 'torch'} <= set(json.loads(json.dumps(machine())))
