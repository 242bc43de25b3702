"""Training, testing and prediction on mmengine's Runner, and the hooks they add."""

from mmlight.engine.checkpoint import AtomicBackend
from mmlight.engine.progress import ProgressBar
from mmlight.engine.reproducible import SeedByStep

__all__ = ['AtomicBackend', 'ProgressBar', 'SeedByStep']
