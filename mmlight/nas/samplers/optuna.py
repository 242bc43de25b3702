"""Optuna's samplers on mmlight's spaces."""

from collections.abc import Sequence
from typing import Any

from mmlight.errors import InputError
from mmlight.nas.samplers.base import Choices, Sampler
from mmlight.nas.spaces import DecisionSpace
from mmlight.registry import SAMPLERS


@SAMPLERS.register_module()
class OptunaSampler(Sampler):
    """Any sampler of Optuna (``TPESampler``, ``NSGAIISampler``, ...), decision by decision.

    Optuna's categorical choices must not change between trials: where it proposes an illegal one, the next legal one
    (counting upwards, from the last to the first) is taken, and the proposed one told.

    Args:
        space: The space.
        sampler: Name of a class of ``optuna.samplers``.
        directions: ``'maximize'`` or ``'minimize'`` for each value of a reward; several for e.g. ``NSGAIISampler``.
        options: Arguments of the class.

    Raises:
        InputError: where Optuna is not installed or has no such sampler, and for an unknown direction.
    """

    def __init__(
        self,
        space: DecisionSpace,
        sampler: str = 'TPESampler',
        directions: Sequence[str] = ('maximize',),
        options: dict | None = None,
    ):
        super().__init__(space)
        try:
            import optuna
        except ImportError:
            raise InputError('OptunaSampler: Optuna is not installed; pip install mmlight[search]') from None
        if not hasattr(optuna.samplers, sampler):
            raise InputError(f'OptunaSampler: optuna.samplers has no {sampler!r}')
        self.optuna = optuna
        self.options = dict(options or {})
        self.make = getattr(optuna.samplers, sampler)
        self.directions: list[Any] = list(directions)
        if not self.directions or not set(self.directions) <= {'maximize', 'minimize'}:
            raise InputError(f"OptunaSampler: directions must be 'maximize' or 'minimize', got {directions!r}")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = self._study()
        self.pending: dict[Choices, list[int]] = {}

    def _study(self) -> Any:
        return self.optuna.create_study(directions=self.directions, sampler=self.make(**self.options))

    def ask(self, count: int, seed: int) -> list[Choices]:
        self.study.sampler = self.make(**{**self.options, 'seed': seed % 2**32})
        batch = []
        for _ in range(count):
            trial, choices = self.study.ask(), list[int]()
            for step, decision in enumerate(self.space.decisions):
                proposed = trial.suggest_categorical(f'{step}', list(range(decision.size)))
                legal = self.space.mask(choices)
                while not legal[proposed]:
                    proposed = (proposed + 1) % decision.size
                choices.append(proposed)
            batch.append(tuple(choices))
            self.pending.setdefault(batch[-1], []).append(trial.number)
        return batch

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float | Sequence[float]]) -> dict[str, float]:
        for choices, values in zip(map(tuple, batch), rewards, strict=True):
            # an illegal or failed network has one reward whatever the number of directions
            fits = (len(self.directions) == 1) != isinstance(values, Sequence)
            number = self.pending[choices].pop(0)
            if not self.pending[choices]:
                del self.pending[choices]
            self.study.tell(number, values if fits else None, None if fits else self.optuna.trial.TrialState.FAIL)
        return {}

    def state_dict(self) -> dict:
        trials = self.study.get_trials(deepcopy=False)
        return {
            'trials': [
                [[t.params[str(i)] for i in range(len(t.params))], t.values, t.system_attrs, t.state.name]
                for t in trials
            ],
            'pending': [[list(choices), numbers] for choices, numbers in self.pending.items()],
            # the genetic samplers keep their parents there; Optuna has no public way to it
            'study': self.study._storage.get_study_system_attrs(self.study._study_id),
        }

    def load_state_dict(self, state: dict) -> None:
        self.study = self._study()
        distributions: dict[str, Any] = {
            f'{step}': self.optuna.distributions.CategoricalDistribution(list(range(decision.size)))
            for step, decision in enumerate(self.space.decisions)
        }
        self.pending = {tuple(choices): list(numbers) for choices, numbers in state['pending']}
        for params, values, attributes, name in state['trials']:
            named = {f'{step}': value for step, value in enumerate(params)}
            self.study.add_trial(
                self.optuna.trial.create_trial(
                    state=self.optuna.trial.TrialState[name],
                    params=named,
                    distributions=distributions,
                    values=values,
                    system_attrs=attributes,
                )
            )
        for key, value in state['study'].items():
            self.study._storage.set_study_system_attr(self.study._study_id, key, value)
