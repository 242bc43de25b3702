"""Checks of arguments where they enter, by one vocabulary: ``positive_int('NASFPN', stack_times=stack_times)``."""

from collections.abc import Iterable
from typing import Any

from mmlight.errors import InputError


def positive_int(owner: str, **values: Any) -> None:
    """Raise an ``InputError`` unless every value is an integer of at least 1."""
    int_from(1, owner, **values)


def int_from(least: int, owner: str, **values: Any) -> None:
    """Raise an ``InputError`` unless every value is an integer of at least ``least``."""
    for name, value in values.items():
        if type(value) is not int or value < least:
            raise InputError(f'{owner}: {name} must be an integer of at least {least}, got {value!r}')


def positive(owner: str, **values: Any) -> None:
    """Raise an ``InputError`` unless every value is a finite number above 0."""
    for name, value in values.items():
        if type(value) not in (int, float) or not 0 < value < float('inf'):
            raise InputError(f'{owner}: {name} must be a positive number, got {value!r}')


def rate(owner: str, **values: Any) -> None:
    """Raise an ``InputError`` unless every value is a probability below 1."""
    for name, value in values.items():
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise InputError(f'{owner}: {name} must be a number from 0 to below 1, got {value!r}')


def one_of(allowed: Iterable, owner: str, **values: Any) -> None:
    """Raise an ``InputError`` unless every value is one of ``allowed``."""
    allowed = list(allowed)
    for name, value in values.items():
        if not any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in allowed):
            raise InputError(f'{owner}: {name} must be one of {allowed}, got {value!r}')
