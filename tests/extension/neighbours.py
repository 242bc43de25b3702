"""A sampler, as a user writes it: it changes one decision of the best network so far."""

import random

from mmlight.nas.samplers import Sampler
from mmlight.registry import SAMPLERS


@SAMPLERS.register_module()
class Neighbours(Sampler):
    def __init__(self, space):
        super().__init__(space)
        self.best = None

    def ask(self, count, seed):
        rng = random.Random(seed)
        proposed = [self.space.sample(rng) for _ in range(count)]
        if self.best is not None:
            steps = [rng.randrange(len(self.best[1])) for _ in proposed]
            proposed = [(*self.best[1][:i], other[i], *self.best[1][i + 1 :]) for i, other in zip(steps, proposed)]
        return proposed

    def tell(self, batch, rewards):
        self.best = max(filter(None, [self.best, *zip(rewards, batch)]))
        return {'best': self.best[0]}

    def state_dict(self):
        return {'best': self.best}

    def load_state_dict(self, state):
        self.best = state['best']
