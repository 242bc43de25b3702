"""Settings that must stand before any test module imports torch, mmdet or mmseg."""

import os

# Small networks are not quicker on more threads, and runs that are compared bit by bit need the same number of them.
os.environ['OMP_NUM_THREADS'] = '1'

import mmlight  # noqa: F401  (installs the compatibility layer)
