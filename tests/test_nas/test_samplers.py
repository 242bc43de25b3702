"""Samplers: exact gradients, masks, and that they learn (docs/specs/search.md)."""

import itertools
import random
import time

import pytest
import torch

from benchmarks.sampler_problems import BENCHMARKS, PlainSpace, run
from mmlight.errors import InputError
from mmlight.nas.samplers import (
    LocalSearch,
    OptunaSampler,
    RandomSampler,
    RegularizedEvolution,
    RNNController,
)
from mmlight.nas.samplers.controller import (
    ControllerNetwork,
    ENASController,
    NASNetController,
    ppo_objective,
    reinforce_objective,
)
from mmlight.nas.spaces import Decision, NASFPNSpace, SpineNetSpace


class Tiny(PlainSpace):
    """3 * 2 * 4 networks."""

    def __init__(self):
        self.decisions = tuple(Decision(str(size), size) for size in (3, 2, 4))
        self.permutation = False


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gradient(objective, network):
    parameters = list(network.parameters())  # that of the last embedding, which nothing reads, is None
    gradients = torch.autograd.grad(objective, parameters, materialize_grads=True, allow_unused=True)
    return torch.cat([g.flatten() for g in gradients])


def everything():
    """A network, all choices of the tiny space, their log-probabilities."""
    torch.manual_seed(0)
    network = ControllerNetwork(Tiny(), hidden=7, init=1.0)
    choices = torch.tensor(list(itertools.product(range(3), range(2), range(4))))
    _, log_probs, _ = network(len(choices), choices)
    return network, choices, log_probs


@pytest.mark.parametrize('baseline', [0.0, 0.3, -2.0])
def test_expected_gradient(double, baseline):
    network, choices, log_probs = everything()
    p = log_probs.sum(1).exp()
    assert float(p.sum().detach()) == pytest.approx(1, abs=1e-12)
    rewards = torch.rand(len(choices))
    exact = gradient((p * rewards).sum(), network)
    network, _, log_probs = everything()
    terms = (p.detach() * (rewards - baseline) * log_probs.sum(1)).sum()
    assert (gradient(terms, network) - exact).abs().max() < 1e-12


@pytest.mark.parametrize('ratio', ['decision', 'sequence'])
def test_ppo_starts_as_reinforce(double, ratio):
    advantages = torch.randn(24)
    network, _, log_probs = everything()
    ppo = gradient(ppo_objective(log_probs, log_probs.detach(), advantages, ratio=ratio), network)
    network, _, log_probs = everything()
    assert (ppo - gradient(reinforce_objective(log_probs, advantages), network)).abs().max() < 1e-12


def test_ppo_clips():
    old = torch.zeros(1, 1)
    for log_prob, advantage, expected in ((0.5, 1.0, 1.2), (0.5, -1.0, -1.6487), (-0.5, -1.0, -0.8)):
        value = ppo_objective(torch.tensor([[log_prob]]), old, torch.tensor([advantage]))
        assert float(value) == pytest.approx(expected, abs=1e-4)


def test_constant_reward_teaches_nothing():
    sampler = RNNController(Tiny(), entropy_weight=0.0)
    before = {name: value.clone() for name, value in sampler.network.state_dict().items()}
    sampler.tell(sampler.ask(20, 0), [0.7] * 20)
    assert all(torch.equal(value, before[name]) for name, value in sampler.network.state_dict().items())


def test_settings_of_the_controller():
    """NASNet's where it names them, else those chosen here (docs/specs/search.md, "Controller")."""
    sampler = RNNController(Tiny())
    assert sampler.network.cell.hidden_size == 100
    largest = max(float(p.detach().abs().max()) for p in sampler.network.parameters())
    assert 0.099 < largest <= 0.1
    assert (sampler.entropy_weight, sampler.decay, sampler.batch) == (1e-2, 0.95, 20)
    assert (sampler.algorithm, sampler.baseline, sampler.ratio) == ('ppo', 'batch', 'decision')
    assert (sampler.clip, sampler.epochs) == (0.2, 4)
    assert sampler.optimizer.defaults['lr'] == 3.5e-3
    published = NASNetController(Tiny(), decay=0.9)
    assert (published.optimizer.defaults['lr'], published.entropy_weight, published.decay) == (3.5e-4, 1e-5, 0.9)
    assert ENASController(Tiny()).network.temperature == 5.0


@pytest.mark.parametrize('algorithm', ['ppo', 'reinforce'])
def test_entropy_is_rewarded(algorithm):
    """With equal rewards only the entropy is left of the objective: it rises, as it would not without its weight."""
    sampler = RNNController(Tiny(), algorithm, lr=0.02, entropy_weight=1.0, init=1.0)
    told = [sampler.tell(sampler.ask(20, 0), [0.7] * 20)['entropy'] for _ in range(15)]
    assert told[-1] > told[0] + 0.1


def test_the_baseline_is_of_earlier_rewards():
    """The batch's own mean enters the moving average after its advantages are taken (the first batch sets it)."""
    sampler = RNNController(Tiny(), 'reinforce', baseline='ema', decay=0.75)
    assert sampler.advantages([0.0, 0.5]).tolist() == [-0.25, 0.25]
    assert sampler.advantages([1.0, 0.5]).tolist() == [0.75, 0.25]  # less 0.25, not 0.375
    assert sampler.average == pytest.approx(0.75 * 0.25 + 0.25 * 0.75)
    assert sampler.advantages([0.375]).tolist() == [0.0]


def test_standardised_advantages():
    advantages = RNNController(Tiny()).advantages([0.1, 0.3, 0.5])
    assert advantages.tolist() == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5], abs=1e-6)
    assert RNNController(Tiny()).advantages([0.3, 0.3]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ('pointer', 'count'), [(False, 300), (True, 300), pytest.param(False, 10_000, marks=pytest.mark.long)]
)
@pytest.mark.parametrize('space', [NASFPNSpace(), SpineNetSpace()], ids=['NAS-FPN', 'SpineNet'])
def test_no_masked_choice(space, pointer, count):
    torch.manual_seed(0)
    network = ControllerNetwork(space, hidden=16, pointer=pointer, init=2.0)
    with torch.no_grad():
        choices, log_probs, _ = network(count, generator=torch.Generator().manual_seed(0))
        _, scored, _ = network(count, choices)
    for row in choices.tolist():
        space.check(row)
    assert torch.equal(log_probs, scored)


def test_entropy_and_scoring_with_masks():
    space = PlainSpace(3, 3, permutation=True)
    network = ControllerNetwork(space, hidden=4, init=0.0)
    choices, log_probs, entropy = network(2, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([3.0, 2.0, 1.0]).log()
    torch.testing.assert_close(entropy, expected.expand(2, -1))
    torch.testing.assert_close(log_probs, -expected.expand(2, -1))
    assert sorted(choices[0].tolist()) == [0, 1, 2]


def test_temperature_and_tanh(double):
    """Of the first decision: logits over the temperature; logits within plus and minus `tanh`, in the same order."""

    def first(**options):
        torch.manual_seed(0)
        network = ControllerNetwork(Tiny(), hidden=7, init=4.0, **options)
        return network(3, torch.tensor([[0, 0, 0], [1, 0, 0], [2, 0, 0]]))[1][:, 0].detach()

    plain = first()
    assert float(plain.max() - plain.min()) > 2
    torch.testing.assert_close(first(temperature=1.0), plain)
    torch.testing.assert_close(first(temperature=2.0), (plain / 2).log_softmax(0))
    bounded = first(tanh=0.5)
    assert float(bounded.max() - bounded.min()) <= 1
    assert bounded.argsort().tolist() == plain.argsort().tolist()


@pytest.mark.parametrize('name', ['random', 'evolution', 'local', 'controller', 'reinforce', 'tpe', 'nsga'])
def test_state_continues_bit_for_bit(name):
    space = PlainSpace(6, 4, permutation=False)

    def make():
        return {
            'random': lambda: RandomSampler(space),
            'evolution': lambda: RegularizedEvolution(space, population=10, tournament=3),
            'local': lambda: LocalSearch(space, start=5),
            'controller': lambda: RNNController(space),
            'reinforce': lambda: RNNController(space, 'reinforce', baseline='ema'),
            'tpe': lambda: OptunaSampler(space, options=dict(n_startup_trials=5)),
            'nsga': lambda: OptunaSampler(space, 'NSGAIISampler', options=dict(population_size=6)),
        }[name]()

    def step(sampler, generation):
        batch = sampler.ask(8, generation)
        told = batch[:-1]  # one was dropped
        sampler.tell(told, [sum(choices) / 18 for choices in told])
        return batch

    whole = make()
    expected = [step(whole, generation) for generation in range(5)]
    first, second = make(), make()
    assert [step(first, generation) for generation in range(3)] == expected[:3]
    second.load_state_dict(first.state_dict())
    assert [step(second, generation) for generation in (3, 4)] == expected[3:]


def test_the_oldest_dies_and_the_best_of_a_tournament_is_the_parent():
    """Regularized evolution (arXiv 1802.01548): age, not reward, ends a life; a child differs in one decision."""
    sampler = RegularizedEvolution(PlainSpace(6, 4), population=3, tournament=3)
    best, young = (0,) * 6, (3,) * 6
    sampler.tell([best, (1,) * 6, (2,) * 6], [0.9, 0.1, 0.2])
    assert {sum(a != b for a, b in zip(child, best, strict=True)) for child in sampler.ask(9, 0)} == {1}
    sampler.tell([young], [0.5])
    assert {sum(a != b for a, b in zip(child, young, strict=True)) for child in sampler.ask(9, 1)} == {1}


def test_the_first_population_is_random():
    sampler = RegularizedEvolution(PlainSpace(6, 4), population=8, tournament=2)
    first = sampler.ask(8, 0)
    assert len({sum(map(bool, child)) for child in first}) > 1
    sampler.tell([(0,) * 6] * 2, [1.0, 1.0])  # the rest is late
    assert [sum(map(bool, child)) for child in sampler.ask(2, 1)] == [1, 1]
    assert len(RegularizedEvolution(PlainSpace(6, 4), population=2, tournament=1).ask(5, 0)) == 5  # nobody lives yet
    default = RegularizedEvolution(PlainSpace(6, 4))
    assert (default.population, default.tournament) == (50, 10)  # docs/specs/search.md


OURS = [RandomSampler, RegularizedEvolution, LocalSearch, RNNController]


@pytest.mark.filterwarnings('ignore:RNNController')
@pytest.mark.parametrize('sampler', OURS)
def test_no_network_twice_while_there_are_new_ones(sampler):
    """Nor an illegal one; a small space is gone through, whatever the sampler has settled on."""

    class Half(PlainSpace):
        def key(self, choices):
            if sum(choices) % 2:
                raise InputError('illegal')
            return super().key(choices)

    space = Half(4, 3)
    sampler, seen = sampler(space), []
    for number in range(36):
        seen += sampler.ask(1, number)
        sampler.tell(seen[-1:], [sum(seen[-1]) / 8])
    assert len(set(seen)) == 36
    assert not any(sum(choices) % 2 for choices in seen)


def test_a_controller_that_repeats_itself_warns():
    sampler = RNNController(PlainSpace(3, 2), entropy_weight=0.0, hidden=4)
    with pytest.warns(UserWarning, match='has sampled nothing new for 20 proposals'):
        sampler.ask(30, 0)  # of 8 networks


def test_local_search_goes_on_from_the_best():
    """Its neighbours first, then those of the next best; nothing is known of networks that still run."""
    sampler = LocalSearch(PlainSpace(3, 3), start=2, parents=1)
    sampler.ask(2, 0)
    sampler.known.clear()
    best, second = (0, 0, 0), (2, 2, 2)
    sampler.tell([second, best], [0.5, 0.9])
    batch = [sampler.ask(1, number)[0] for number in range(12)]
    distances = [[sum(a != b for a, b in zip(child, parent, strict=True)) for child in batch]
                 for parent in (best, second)]  # fmt: skip
    assert distances[0][:6] == [1] * 6
    assert distances[1][6:] == [1] * 6


@pytest.mark.long
@pytest.mark.parametrize('sampler', OURS)
def test_time_at_ten_thousand_trials(sampler):
    space = NASFPNSpace()
    sampler, rng = sampler(space), random.Random(0)
    for _ in range(100):
        batch = [space.sample(rng) for _ in range(100)]
        sampler.known |= set(map(space.key, batch))
        if not isinstance(sampler, RNNController):  # it keeps nothing but its policy
            sampler.tell(batch, [rng.random() for _ in batch])
    start = time.process_time()
    for number in range(100):
        sampler.tell(sampler.ask(1, number), [rng.random()])
    assert (time.process_time() - start) / 100 < 0.020


def test_mutation_of_a_permutation_swaps():
    space = PlainSpace(6, 6, permutation=True)
    rng = random.Random(0)
    parent = (3, 1, 0, 5, 4, 2)
    for _ in range(20):
        child = space.mutate(parent, rng)
        assert sorted(child) == list(range(6))
        assert sum(a != b for a, b in zip(child, parent, strict=True)) == 2


# docs/specs/search.md: benchmark, sampler, trials, threshold
LEARNS = [
    ('match', dict(), 500, 0.95),
    ('perm', dict(), 500, 0.95),
    ('chain', dict(), 1000, 0.84),
    ('nasfpn-match', dict(), 1000, 0.78),
    ('spinenet-match', dict(), 1000, 0.80),
    ('match', dict(lr=3.5e-4, baseline='ema'), 2000, 0.95),
]


@pytest.mark.parametrize(
    ('name', 'options', 'trials', 'threshold'),
    [pytest.param(*row, marks=[pytest.mark.long] if i else [], id=f'{row[0]}-{row[2]}')
     for i, row in enumerate(LEARNS)],
)  # fmt: skip
def test_controller_learns(name, options, trials, threshold):
    benchmark = BENCHMARKS[name]()
    assert max(run(benchmark, RNNController(benchmark.space, **options), trials, 0)) >= threshold


@pytest.mark.long
def test_controller_learns_from_old_batches():
    """Rewards that come ten updates late; log-probabilities are computed anew."""
    benchmark, lag = BENCHMARKS['match'](), 10
    sampler = RNNController(benchmark.space)
    batches, best = [], 0.0
    for generation in range(100):
        batches.append(sampler.ask(20, generation))
        best = max([best, *map(benchmark.reward, batches[-1])])
        if generation >= lag:
            sampler.tell(batches[generation - lag], [benchmark.reward(c) for c in batches[generation - lag]])
    assert best >= 0.85


@pytest.mark.long
@pytest.mark.parametrize('seed', [1, 2])
def test_controller_learns_with_other_seeds(seed):
    benchmark = BENCHMARKS['match']()
    assert max(run(benchmark, RNNController(benchmark.space, seed=seed), 500, seed)) >= 0.95


@pytest.mark.parametrize(('name', 'limit'), [('match', 0.60), ('chain', 0.78)])
def test_random_search_does_not(name, limit):
    benchmark = BENCHMARKS[name]()
    assert max(run(benchmark, RandomSampler(benchmark.space), benchmark.trials, 0)) <= limit


def test_optimum_of_the_chain():
    assert BENCHMARKS['chain']().optimum == pytest.approx(0.912, abs=5e-4)  # docs/specs/search.md


@pytest.mark.parametrize(
    ('name', 'threshold'),
    [
        ('match', 0.75),
        ('perm', 0.85),
        ('chain', 0.84),
        ('nasfpn-match', 0.78),
        pytest.param('spinenet-match', 0.7, marks=pytest.mark.long),
    ],
)
def test_evolution_beats_random(name, threshold):
    benchmark = BENCHMARKS[name]()
    found = max(run(benchmark, RegularizedEvolution(benchmark.space), benchmark.trials, 0))
    assert found >= threshold
    assert found > max(run(benchmark, RandomSampler(benchmark.space), benchmark.trials, 0))


def test_optuna_with_two_goals():
    space = PlainSpace(5, 3)
    sampler = OptunaSampler(space, 'NSGAIISampler', ('maximize', 'minimize'), dict(population_size=10))
    for generation in range(4):
        batch = sampler.ask(10, generation)
        sampler.tell(batch, [(sum(choices), choices[0]) for choices in batch])
    assert len(sampler.study.best_trials) >= 1


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: RNNController(Tiny(), 'sarsa'), r"algorithm must be one of \['ppo', 'reinforce'\], got 'sarsa'"),
        (lambda: RegularizedEvolution(Tiny(), 5, 6), 'tournament must be between 1 and the population, 5, got 6'),
        (lambda: RegularizedEvolution(Tiny(), '5'), "between 1 and the population, '5', got 10"),
        (lambda: RNNController(Tiny(), epochs=0), 'epochs must be an integer of at least 1, got 0'),
        (lambda: RNNController(Tiny(), lr=-1), 'lr must be a positive number, got -1'),
        (lambda: RNNController(Tiny(), temperature=0), 'temperature must be a positive number, got 0'),
        (lambda: RNNController(Tiny(), decay=1), 'decay must be a number from 0 to below 1, got 1'),
        (lambda: OptunaSampler(Tiny(), 'Psychic'), "optuna.samplers has no 'Psychic'"),
        (lambda: OptunaSampler(Tiny(), directions=('up',)), r"directions must be 'maximize' or .*, got \('up',\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
