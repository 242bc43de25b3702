"""The RNN controller (NAS, arXiv 1611.01578; NASNet, arXiv 1707.07012; NAS-FPN, arXiv 1904.07392)."""

import random
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmlight import checks
from mmlight.nas.samplers.base import Choices, Sampler
from mmlight.nas.spaces import DecisionSpace
from mmlight.registry import SAMPLERS

DRAWS = 16
"""Networks that the policy samples for one proposal: the first new one is taken."""
REPEATS = 20
"""Proposals without anything new after which the controller warns."""


class ControllerNetwork(nn.Module):
    """An LSTM that emits the decisions one after another, each fed back as the next input.

    Every decision has a head and an embedding of its own. Sampling and scoring are one code path; illegal choices have
    no probability in either.

    Args:
        space: The space.
        hidden: Width of the LSTM.
        temperature: Logits are divided by it.
        tanh: Logits become ``tanh * tanh(logits)``; None leaves them.
        pointer: Choices among earlier features are scored by attention to the states that completed them.
        init: Parameters are uniform in ``[-init, init]``.
    """

    def __init__(
        self,
        space: DecisionSpace,
        hidden: int = 100,
        temperature: float = 1.0,
        tanh: float | None = None,
        pointer: bool = False,
        init: float = 0.1,
    ):
        super().__init__()
        self.space = space
        self.temperature = temperature
        self.tanh = tanh
        self.pointer = pointer
        self.start = nn.Parameter(torch.empty(hidden))
        self.cell = nn.LSTMCell(hidden, hidden)
        own = [d for d in space.decisions if not (pointer and d.anchors)]
        self.heads = nn.ModuleList(nn.Linear(hidden, d.size) for d in own)
        self.embeddings = nn.ModuleList(nn.Embedding(d.size, hidden) for d in own)
        if pointer:
            self.query = nn.Linear(hidden, hidden, bias=False)
            self.reference = nn.Linear(hidden, hidden, bias=False)
            self.score = nn.Linear(hidden, 1, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -init, init)

    def forward(
        self,
        count: int,
        choices: Tensor | None = None,
        generator: torch.Generator | None = None,
        masks: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sample ``count`` networks, or score given ones.

        Args:
            count: Batch size ``B``.
            choices: ``(B, T)`` to score; None samples.
            generator: Of the random numbers.
            masks: Legal choices ``(B, size)`` of each decision, to score without asking the space again.

        Returns:
            Choices, their log-probabilities and the entropies of the distributions, each ``(B, T)``.
        """
        x = self.start.expand(count, -1)
        state = (torch.zeros_like(x), torch.zeros_like(x))
        taken: list[Tensor] = []
        log_probs, entropies, states = [], [], []
        own = 0
        for step, decision in enumerate(self.space.decisions):
            state = self.cell(x, state)
            states.append(state[0])
            points = self.pointer and decision.anchors
            if points:
                candidates = torch.stack([torch.zeros_like(state[0]) if a is None else states[a] for a in points], 1)
                mixed = torch.tanh(self.reference(candidates) + self.query(state[0])[:, None])
                logits = self.score(mixed).squeeze(-1)
            else:
                logits = self.heads[own](state[0])
            logits = logits / self.temperature
            if self.tanh is not None:
                logits = self.tanh * torch.tanh(logits)
            legal = masks[step] if masks is not None else self.legal(taken, count)
            log_p = logits.masked_fill(~legal, -torch.inf).log_softmax(-1)
            p = log_p.exp()
            chosen = torch.multinomial(p, 1, generator=generator).squeeze(1) if choices is None else choices[:, step]
            taken.append(chosen)
            log_probs.append(log_p.gather(1, chosen[:, None]).squeeze(1))
            entropies.append(-(p * log_p.masked_fill(~legal, 0.0)).sum(1))
            if points:
                x = candidates[torch.arange(count), chosen]
            else:
                x = self.embeddings[own](chosen)
                own += 1
        return torch.stack(taken, 1), torch.stack(log_probs, 1), torch.stack(entropies, 1)

    def legal(self, taken: Sequence[Tensor], count: int) -> Tensor:
        """Legal choices ``(B, size)`` of the next decision."""
        prefixes = torch.stack(list(taken), 1).tolist() if taken else [[]] * count
        return torch.tensor([self.space.mask(prefix) for prefix in prefixes])

    def masks_of(self, choices: Tensor) -> list[Tensor]:
        """Legal choices of every decision of given networks."""
        rows = choices.tolist()
        return [
            torch.tensor([self.space.mask(row[:step]) for row in rows]) for step in range(len(self.space.decisions))
        ]


def reinforce_objective(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """Mean over the batch of ``advantage * log-probability of the network``; ``(B, T)`` and ``(B,)``."""
    return (log_probs.sum(1) * advantages).mean()


def ppo_objective(
    log_probs: Tensor, old: Tensor, advantages: Tensor, clip: float = 0.2, ratio: str = 'decision'
) -> Tensor:
    """Clipped surrogate (PPO, arXiv 1707.06347), summed over decisions, mean over the batch.

    Args:
        log_probs: ``(B, T)``.
        old: ``(B, T)``, those of the policy before the update.
        advantages: ``(B,)``.
        clip: Half the width of the interval of ratios.
        ratio: ``'decision'`` or ``'sequence'``: one ratio a decision, or one a network.
    """
    difference = log_probs - old
    if ratio == 'sequence':
        difference = difference.sum(1, keepdim=True)
    ratios, advantages = difference.exp(), advantages[:, None]
    return torch.minimum(ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages).sum(1).mean()


@SAMPLERS.register_module()
class RNNController(Sampler):
    """An LSTM policy trained by policy gradient. Of what it samples only networks are proposed that were not before, so
    that a policy that has settled goes on around its favourites.

    Args:
        space: The space.
        algorithm: ``'ppo'`` or ``'reinforce'``.
        lr: Learning rate of Adam: 3.5e-3 for up to a thousand trials, the published 3.5e-4 (with ``baseline='ema'``)
            from two thousand on.
        batch: Networks of an update.
        baseline: ``'batch'``: advantages are standardised within the batch; ``'ema'``: moving average of the batches'
            mean rewards.
        decay: Of the moving average.
        entropy_weight: Of the entropy in the objective.
        epochs: Updates with each batch, for PPO.
        clip: PPO's.
        ratio: PPO's, ``'decision'`` or ``'sequence'``.
        seed: Of the initial weights.
        network: Further arguments of :class:`ControllerNetwork`.

    Raises:
        InputError: for an unknown algorithm, baseline or ratio, and for numbers that cannot work.
    """

    def __init__(  # noqa: PLR0913 (settings of two papers' policies)
        self,
        space: DecisionSpace,
        algorithm: str = 'ppo',
        lr: float = 3.5e-3,
        batch: int = 20,
        baseline: str = 'batch',
        decay: float = 0.95,
        entropy_weight: float = 1e-2,
        epochs: int = 4,
        clip: float = 0.2,
        ratio: str = 'decision',
        seed: int = 0,
        **network: Any,
    ):
        super().__init__(space)
        checks.one_of(('ppo', 'reinforce'), 'RNNController', algorithm=algorithm)
        checks.one_of(('batch', 'ema'), 'RNNController', baseline=baseline)
        checks.one_of(('decision', 'sequence'), 'RNNController', ratio=ratio)
        checks.positive_int('RNNController', epochs=epochs, batch=batch, hidden=network.get('hidden', 1))
        checks.positive('RNNController', lr=lr, clip=clip, temperature=network.get('temperature', 1))
        checks.rate('RNNController', decay=decay)
        self.algorithm, self.baseline, self.ratio = algorithm, baseline, ratio
        self.decay, self.entropy_weight, self.clip = decay, entropy_weight, clip
        self.batch = batch
        self.told: list[tuple[Choices, float]] = []
        self.repeats = 0
        self.epochs = epochs if algorithm == 'ppo' else 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = ControllerNetwork(space, **network)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr)
        self.average: float | None = None

    def ask(self, count: int, seed: int) -> list[Choices]:
        generator, rng = torch.Generator().manual_seed(seed), random.Random(seed)
        return [self._next(generator, rng) for _ in range(count)]

    def _next(self, generator: torch.Generator, rng: random.Random) -> Choices:
        with torch.no_grad():
            drawn = [tuple(row) for row in self.network(DRAWS, generator=generator)[0].tolist()]
        found = self.new(iter(drawn).__next__, DRAWS)
        if found is None:  # the policy has nothing new to say
            self.repeats += 1
            if self.repeats == REPEATS:
                warnings.warn(
                    f'RNNController: has sampled nothing new for {REPEATS} proposals and goes on with mutations; a '
                    'larger entropy_weight or a smaller lr keeps it open'
                )
            found = self.new(lambda: self.space.mutate(rng.choice(drawn), rng))
        return found or self.new_or_any(rng)

    def advantages(self, rewards: Sequence[float]) -> Tensor:
        """``(B,)``, by the baseline, which learns."""
        values = torch.tensor(rewards, dtype=torch.float64)
        if self.baseline == 'batch':
            deviation = values.std(correction=0)
            return (values - values.mean()) / (deviation + 1e-8) if deviation > 1e-12 else torch.zeros_like(values)
        mean = float(values.mean())
        average = mean if self.average is None else self.average
        self.average = self.decay * average + (1 - self.decay) * mean
        return values - average

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        self.told += zip(map(tuple, batch), map(float, rewards), strict=True)
        facts = {}
        while len(self.told) >= self.batch:
            facts = self._update(*zip(*self.told[: self.batch], strict=True))
            del self.told[: self.batch]
        return facts

    def _update(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        choices = torch.tensor(batch)
        advantages = self.advantages(rewards).to(self.network.start)
        masks = self.network.masks_of(choices)
        old = None
        for _ in range(self.epochs):
            _, log_probs, entropies = self.network(len(batch), choices, masks=masks)
            if old is None:  # not those of the sampling: a batch may be older than the policy
                old = log_probs.detach()
            if self.algorithm == 'ppo':
                objective = ppo_objective(log_probs, old, advantages, self.clip, self.ratio)
            else:
                objective = reinforce_objective(log_probs, advantages)
            objective = objective + self.entropy_weight * entropies.sum(1).mean()
            self.optimizer.zero_grad()
            (-objective).backward()
            self.optimizer.step()
        return {'entropy': float(entropies.detach().sum(1).mean())}

    def state_dict(self) -> dict:
        return {
            **super().state_dict(),
            'told': [[list(choices), reward] for choices, reward in self.told],
            'repeats': self.repeats,
            'network': self.network.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'average': self.average,
        }

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.told = [(tuple(choices), reward) for choices, reward in state['told']]
        self.repeats = state['repeats']
        self.network.load_state_dict(state['network'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.average = state['average']


@SAMPLERS.register_module()
def NASNetController(space: DecisionSpace, **changes: Any) -> RNNController:
    """The controller as NASNet has it (arXiv 1707.07012, App. A), for thousands of trials."""
    return RNNController(space, **{**dict(lr=3.5e-4, baseline='ema', decay=0.95, entropy_weight=1e-5), **changes})


@SAMPLERS.register_module()
def ENASController(space: DecisionSpace, **changes: Any) -> RNNController:
    """The controller as ENAS has it (arXiv 1802.03268, Sec. 3.2): REINFORCE, a temperature and bounded logits."""
    settings = dict(algorithm='reinforce', lr=3.5e-4, baseline='ema', entropy_weight=0.1, temperature=5.0, tanh=2.5)
    arguments: dict[str, Any] = {**settings, **changes}
    return RNNController(space, **arguments)
