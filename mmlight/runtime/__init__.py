"""Training, testing and prediction on mmengine's Runner, and the hooks they add."""

from mmlight.runtime.checkpoint import AtomicBackend
from mmlight.runtime.progress import ProgressBar
from mmlight.runtime.reproducible import SeedByStep

__all__ = ['AtomicBackend', 'ProgressBar', 'SeedByStep']
