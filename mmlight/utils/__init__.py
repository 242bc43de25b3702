"""Entry point that mmengine looks for in every package of its family."""

from mmlight.utils.setup_env import register_all_modules

__all__ = ['register_all_modules']
