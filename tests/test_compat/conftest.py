import mmlight  # noqa: F401  (before any test module imports mmcv.ops)
