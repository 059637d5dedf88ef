"""The short form of `benchmarks/stream_soak.py`: one fault after the other, and in the end the exchange's candles."""

import pytest

from benchmarks import stream_soak
from market.models import Candle

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("seed", [5])
def test_a_stream_that_breaks_again_and_again_ends_with_the_candles_of_the_exchange(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_soak, "LONGEST_FAULT", 0.6)
    # Without threads: a database in memory is not shared between them.
    with stream_soak.soak(0.1, 0.2, 5.0, members=0, seed=seed) as soak:
        soak.run(5.0)
        assert soak.wrong() == []
    assert sum(soak.done.values()) >= 3
    assert soak.exchange.closed > soak.exchange.past + 20


def test_it_notices_what_is_wrong() -> None:
    with stream_soak.soak(0.1, 0.2, 1.0, members=0, seed=1) as soak:
        soak.run(0.5)
        stored = Candle.objects.filter(symbol__symbol="BTCUSDT").order_by("open_time")
        stored.filter(pk=stored[50].pk).update(volume=1.5)
        Candle.objects.filter(pk=Candle.objects.filter(symbol__symbol="ETHUSDT").order_by("open_time")[60].pk).delete()
        problems = soak.wrong()
    assert [line.split(":")[0] for line in problems] == ["BTCUSDT", "ETHUSDT"]


def test_every_fault_is_another_one() -> None:
    names = [fault.__name__ for fault in stream_soak.faults()]
    assert len(names) == len(set(names)) >= 20
