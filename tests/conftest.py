"""Installs the compatibility layer before any test module imports mmdet or mmseg."""

import mmlight  # noqa: F401
