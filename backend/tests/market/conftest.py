from collections.abc import Iterator

import pytest

from tests.files import on_disk
from tests.market.venues import KINDS, Kind, Venue, opened

__all__ = ["direct", "on_disk", "venue"]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is not asked through a proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(params=KINDS, ids=str)
def venue(request: pytest.FixtureRequest) -> Iterator[Venue]:
    """A real client and its server, once for every kind there is."""
    kind: Kind = request.param
    with opened(kind) as venue:
        yield venue
