"""Stub, replaced by the compat work."""


def install() -> None:
    pass
