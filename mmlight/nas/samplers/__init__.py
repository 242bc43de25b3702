"""Samplers: they propose choices and learn from rewards, and see nothing of a space but its decisions and masks."""

from mmlight.nas.samplers.base import RandomSampler, Sampler
from mmlight.nas.samplers.controller import RNNController
from mmlight.nas.samplers.evolution import RegularizedEvolution
from mmlight.nas.samplers.local_search import LocalSearch
from mmlight.nas.samplers.optuna import OptunaSampler
from mmlight.nas.samplers.pareto import ParetoLocalSearch

__all__ = [
    'LocalSearch',
    'OptunaSampler',
    'ParetoLocalSearch',
    'RNNController',
    'RandomSampler',
    'RegularizedEvolution',
    'Sampler',
]
