"""The short form of `benchmarks/stream_soak.py`: one fault after the other, and in the end the exchange's candles."""

from datetime import datetime

import pytest

from benchmarks import stream_soak
from market.models import Candle, Symbol
from market.services import store_candles
from tests.market.servers.series import frame_of, moment
from tests.trading.exchange import MINUTE
from trading.models import Message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("seed", [5])
def test_a_stream_that_breaks_again_and_again_ends_with_the_candles_of_the_exchange(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_soak, "LONGEST_FAULT", 0.6)
    # Without threads: a database in memory is not shared between them.
    with stream_soak.soak(0.1, 0.2, 5.0, workers=0, seed=seed) as soak:
        soak.run(5.0)
        assert soak.wrong() == []
    assert sum(soak.done.values()) >= 3
    assert soak.exchange.closed > soak.exchange.past + 20


def test_it_notices_what_is_wrong() -> None:
    with stream_soak.soak(0.1, 0.2, 1.0, workers=0, seed=1) as soak:
        soak.run(0.5)
        stored = Candle.objects.filter(symbol__symbol="BTCUSDT").order_by("open_time")
        stored.filter(pk=stored[50].pk).update(volume=1.5)
        Candle.objects.filter(pk=Candle.objects.filter(symbol__symbol="ETHUSDT").order_by("open_time")[60].pk).delete()
        told = Message.objects.filter(symbol__symbol="ETHUSDT", type=Message.Type.MARKET_SNAPSHOT).order_by("pk")
        told.filter(pk=told[1].pk).delete()
        problems = soak.wrong()
    assert [" ".join(line.split()[:5]) for line in problems] == [
        "BTCUSDT: 1 candles differ, the",
        "ETHUSDT: 1 candles are missing",
        "ETHUSDT: the agents were not",
    ]


def test_it_calls_late_only_what_was_left_out_and_not_there() -> None:
    with stream_soak.soak(0.1, 0.2, 1.0, workers=0, seed=1) as soak:
        soak.run(0.5)
        told = Message.objects.filter(symbol__symbol="ETHUSDT", type=Message.Type.MARKET_SNAPSHOT).order_by("pk")
        one, following = (datetime.fromisoformat(told[row].payload["timestamp"]) - MINUTE for row in (1, 2))
        told.filter(pk=told[1].pk).delete()
        assert len(soak.wrong()) == 1
        soak.witness.over["ETHUSDT", one] = following
        assert len(soak.wrong()) == 1
        soak.exchange.left_out.add(("ETHUSDT", one))
        assert soak.wrong() == []
        (late,) = soak.late()
    assert f"ETHUSDT {one:%m-%d %H:%M}" in late
    assert f"{following:%H:%M} was told" in late


def test_it_notices_what_was_there_and_passed_over() -> None:
    with stream_soak.soak(0.1, 0.2, 1.0, workers=0, seed=1) as soak:
        soak.run(0.5)
        symbol, bars = Symbol.objects.get(symbol="ETHUSDT"), soak.exchange.truth["ETHUSDT"].bars
        row = Candle.objects.filter(symbol=symbol).count()
        store_candles(symbol, "1m", frame_of(bars[row : row + 1]), "bybit")
        soak.relay.pipeline.monitor.publish(symbol, "1m", frame_of(bars[row + 2 : row + 3]), "bybit")
        there, not_there = (moment(bars[at].time) for at in (row, row + 1))
        assert soak.witness.passed == {("ETHUSDT", there)}
        assert ("ETHUSDT", not_there) in soak.witness.over
        assert f"ETHUSDT: {there} was passed over, though it was there" in soak.wrong()


def test_every_fault_is_another_one() -> None:
    names = [fault.__name__ for fault in stream_soak.faults()]
    assert len(names) == len(set(names)) >= 20
