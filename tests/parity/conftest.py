"""What the page docs/faithfulness.md is written from."""

import pytest


@pytest.fixture
def record(record_property):
    """record(network, implementation, largest error relative to the largest output)."""

    def put(network: str, against: str, error: float) -> None:
        for name, value in (('network', network), ('against', against), ('error', error)):
            record_property(name, value)

    return put
