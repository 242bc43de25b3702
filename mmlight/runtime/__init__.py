"""Training, testing and prediction on mmengine's Runner, and the hooks they add."""

from mmlight.runtime.checkpoint import AtomicBackend
from mmlight.runtime.finite_loss import FiniteLoss
from mmlight.runtime.last_validation import LastValidation
from mmlight.runtime.progress import ProgressBar
from mmlight.runtime.reproducible import SeedByStep
from mmlight.runtime.save_on_term import SaveOnTerm
from mmlight.runtime.unique_names import UniqueNames

__all__ = ['AtomicBackend', 'FiniteLoss', 'LastValidation', 'ProgressBar', 'SaveOnTerm', 'SeedByStep', 'UniqueNames']
