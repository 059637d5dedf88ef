"""Bybit's WebSocket against a server on loopback: what is followed, and what becomes of each thing that goes wrong."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd
import pytest

from market.errors import ClockSkew, InvalidResponse, SourceDown, UnreadableResponse
from market.sources import bybit, bybit_stream
from market.sources.bybit_stream import (
    Closed,
    Connected,
    Event,
    Forming,
    KlineStream,
    Lost,
    Refused,
    RequestReply,
    StreamedSeries,
    StreamTimeouts,
    Tick,
    parse,
)
from tests.market.servers.bybit_ws import BybitStream, kline
from tests.markets import random_candles

SYMBOL, SERIES = "BTCUSDT", StreamedSeries("BTCUSDT", "1m")
# Long enough for a loaded machine where something has to happen, short where it has to fail.
QUICK = StreamTimeouts(connect=2.0, answer=0.6, ping=0.2, silence=0.7, quiet=1.2, first_pause=0.02, longest_pause=0.1)
LONGEST_WAIT = 10.0


class Stop(threading.Event):
    def wait(self, seconds: float | None = None) -> bool:
        return super().wait(seconds)


def candles(rows: int = 8) -> pd.DataFrame:
    """Minutes, the last of which has just closed."""
    frame = random_candles(rows)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    frame.index = pd.date_range(end=end - timedelta(minutes=1), periods=rows, freq="min", name="open_time")
    return frame


@pytest.fixture
def server() -> Iterator[BybitStream]:
    with BybitStream({SYMBOL, "ETHUSDT", *(f"C{number}USDT" for number in range(25))}) as server:
        yield server


class Follower:
    """Reads the events of a stream one after the other."""

    def __init__(self, server: BybitStream, *series: StreamedSeries, timeouts: StreamTimeouts = QUICK) -> None:
        self.stop = Stop()
        self.stream = KlineStream(server.url, self.stop, timeouts)
        self.stream.follow(series or [SERIES])
        self._events = self.stream.events()

    def until(self, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        """The next event of that kind. An unexpected lost connection is a failure."""
        end = monotonic() + LONGEST_WAIT
        for event in self._events:
            if isinstance(event, kind):
                return event
            assert not isinstance(event, Lost), event
            assert monotonic() < end, f"no {kind} in {LONGEST_WAIT} s"
        raise AssertionError("the stream has ended")

    def closed(self, count: int) -> list[pd.Timestamp]:
        return [self.until(Closed).candle.index[0] for _ in range(count)]


def test_it_tells_of_closed_candles_and_of_the_price_of_the_forming_one(server: BybitStream) -> None:
    frame, follower = candles(), Follower(server)
    assert follower.until(Connected) == Connected((SERIES,))
    server.close_candle(SYMBOL, frame.index[-1], frame.iloc[-1])
    closed = follower.until(Closed)
    assert closed.series == SERIES
    pd.testing.assert_frame_equal(closed.candle, frame.iloc[[-1]], check_freq=False, check_index_type=False)
    server.form_candle(SYMBOL, frame.index[-1] + pd.Timedelta(minutes=1), frame.iloc[-1])
    assert follower.until((Forming, Closed)).price == frame["close"].iloc[-1]


def test_many_series_are_asked_for_in_requests_that_the_server_takes(server: BybitStream) -> None:
    series = [StreamedSeries(f"C{number}USDT", "1m") for number in range(25)]
    follower = Follower(server, *series)
    assert set(follower.until(Connected).series) == set(series)
    assert [len(request["args"]) for request in server.requests] == [10, 10, 5]


def test_one_unknown_name_spoils_nothing_but_itself(server: BybitStream) -> None:
    unknown = StreamedSeries("NOPEUSDT", "1m")
    follower = Follower(server, SERIES, unknown)
    refused = follower.until(Refused)
    assert refused.series == unknown
    assert "handler not found" in refused.problem
    assert follower.until(Connected).series == (SERIES,)


def test_a_series_that_is_added_is_subscribed_to_on_the_connection_that_stands(server: BybitStream) -> None:
    follower, other = Follower(server), StreamedSeries("ETHUSDT", "1m")
    follower.until(Connected)
    follower.stream.follow([SERIES, other])
    assert set(follower.until(Connected).series) == {SERIES, other}
    assert server.connections == 1


def test_it_keeps_the_connection_alive_while_nothing_happens(server: BybitStream) -> None:
    follower = Follower(server, timeouts=StreamTimeouts(ping=0.1, silence=0.6, quiet=60.0))
    follower.until(Connected)
    end = monotonic() + 1.2
    while monotonic() < end:
        follower.until(Tick)
    assert server.connections == 1
    assert sum(request["op"] == "ping" for request in server.requests) >= 3


def dropped(server: BybitStream, frame: pd.DataFrame) -> None:
    server.drop()


def closed_politely(server: BybitStream, frame: pd.DataFrame) -> None:
    server.close_politely()


def silent(server: BybitStream, frame: pd.DataFrame) -> None:
    server.silent = True


def quiet(server: BybitStream, frame: pd.DataFrame) -> None:
    """Pongs come and candles do not."""


def garbage(server: BybitStream, frame: pd.DataFrame) -> None:
    server.say('{"topic": "kline.1.BTCUSDT", "data": [{"start')


def binary(server: BybitStream, frame: pd.DataFrame) -> None:
    server.say(b"\x00\xff\x00")


def other_topic(server: BybitStream, frame: pd.DataFrame) -> None:
    server.say(json.dumps(said(frame, symbol="ETHUSDT")))


def other_kind(server: BybitStream, frame: pd.DataFrame) -> None:
    server.say(json.dumps({**said(frame), "topic": "tickers.BTCUSDT"}))


def other_interval(server: BybitStream, frame: pd.DataFrame) -> None:
    server.say(json.dumps(said(frame, interval="5")))


def not_a_price(server: BybitStream, frame: pd.DataFrame) -> None:
    server.say(json.dumps(said(frame, low="0")))


def not_a_number(server: BybitStream, frame: pd.DataFrame) -> None:
    server.say(json.dumps(said(frame, close="NaN")))


def not_closed_yet(server: BybitStream, frame: pd.DataFrame) -> None:
    later = frame.index[-1] + pd.Timedelta(minutes=2)
    server.close_candle(SYMBOL, later, frame.iloc[-1])


def clock_ahead(server: BybitStream, frame: pd.DataFrame) -> None:
    server.now = lambda: datetime.now(UTC) + timedelta(minutes=3)
    server.close_candle(SYMBOL, frame.index[-1], frame.iloc[-1])


def clock_behind(server: BybitStream, frame: pd.DataFrame) -> None:
    server.now = lambda: datetime.now(UTC) - timedelta(minutes=3)
    server.close_candle(SYMBOL, frame.index[0], frame.iloc[0])


def said(frame: pd.DataFrame, symbol: str = SYMBOL, **changes: Any) -> dict[str, Any]:
    return kline(symbol, "1m", frame.index[-1], frame.iloc[-1], datetime.now(UTC), confirm=True, **changes)


FAULTS: list[tuple[Callable[[BybitStream, pd.DataFrame], None], type[Exception], str]] = [
    (dropped, SourceDown, "broke"),
    (closed_politely, SourceDown, "closed the connection"),
    (silent, SourceDown, "silent for"),
    (quiet, SourceDown, "no candle for"),
    (garbage, UnreadableResponse, "no JSON"),
    (binary, UnreadableResponse, "no JSON"),
    (other_topic, InvalidResponse, "unrequested topic: kline.1.ETHUSDT"),
    (other_kind, InvalidResponse, "unrequested topic"),
    (other_interval, InvalidResponse, "another interval"),
    (not_a_price, InvalidResponse, "impossible candle"),
    (not_a_number, InvalidResponse, "impossible candle"),
    (not_closed_yet, InvalidResponse, "closed before its end"),
    (clock_ahead, ClockSkew, "ahead of ours"),
    (clock_behind, ClockSkew, "behind ours"),
]


@pytest.mark.parametrize(("fault", "error", "words"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_a_fault_gives_no_candle_but_a_reason_and_a_new_connection(
    server: BybitStream, fault: Callable[[BybitStream, pd.DataFrame], None], error: type[Exception], words: str
) -> None:
    frame, follower = candles(), Follower(server)
    follower.until(Connected)
    fault(server, frame)
    lost = follower.until((Lost, Closed))
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, error)
    assert words in str(lost.error)
    server.silent, server.now = False, lambda: datetime.now(UTC)
    follower.until(Connected)
    server.close_candle(SYMBOL, frame.index[-1], frame.iloc[-1])
    assert follower.closed(1) == [frame.index[-1]]


def test_refused_connections_are_tried_again_after_growing_pauses(server: BybitStream) -> None:
    server.refusing = True
    follower = Follower(server, timeouts=StreamTimeouts(connect=2.0, first_pause=0.02, longest_pause=0.2))
    pauses = [follower.until(Lost).pause_seconds for _ in range(6)]
    assert all(
        0.5 * bound <= pause <= bound for pause, bound in zip(pauses, [0.02, 0.04, 0.08, 0.16, 0.2, 0.2], strict=True)
    )
    server.refusing = False
    follower.until(Connected)


def test_a_server_that_greets_and_drops_is_not_asked_without_pause(server: BybitStream) -> None:
    follower = Follower(server)
    pauses = []
    for _ in range(4):
        follower.until(Connected)
        server.drop()
        pauses.append(follower.until(Lost).pause_seconds)
    assert pauses[-1] >= 2 * QUICK.first_pause


def test_an_unanswered_subscription_is_not_waited_for_for_ever(server: BybitStream) -> None:
    server.silent = True
    lost = Follower(server, timeouts=StreamTimeouts(answer=0.3, first_pause=0.02)).until(Lost)
    assert "no answer to a subscription" in str(lost.error)


def test_nothing_listens_there(server: BybitStream) -> None:
    stop = Stop()
    stream = KlineStream("ws://127.0.0.1:1/", stop, QUICK)
    stream.follow([SERIES])
    event: Event = next(event for event in stream.events() if not isinstance(event, Tick))
    assert isinstance(event, Lost)
    assert "cannot be reached" in str(event.error)


def test_it_ends_soon_after_it_was_stopped(server: BybitStream) -> None:
    follower = Follower(server)
    follower.until(Connected)
    begun = monotonic()
    follower.stop.set()
    assert all(isinstance(event, Tick) for event in follower._events)
    assert monotonic() - begun < 2.0


def test_recorded_frames_are_understood(real_data: Path) -> None:
    folder = real_data.parent / "payloads" / "bybit" / "ws"
    if not folder.is_dir():
        pytest.skip(f"no recorded payloads at {folder}")
    for name, price in (("kline_1_BTCUSDT_mainnet", 61029.9), ("kline_5_BTCUSDT_docs", 16677.0)):
        frames = parse((folder / f"{name}.json").read_text())
        assert isinstance(frames, list)
        assert isinstance(frames[0], Forming)
        assert frames[0].price == price
    acknowledged = parse((folder / "subscribe_ack.json").read_text())
    assert acknowledged == RequestReply("subscribe", True, "1", "")
    refused = parse((folder / "subscribe_error_unknown_topic.json").read_text())
    assert isinstance(refused, RequestReply)
    assert not refused.success


def test_rest_and_stream_name_intervals_alike() -> None:
    assert bybit_stream.INTERVALS == bybit.INTERVALS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"pong"',
        "{}",
        '{"op": "subscribe"}',
        '{"topic": 5}',
        '{"topic": "kline.1.BTCUSDT"}',
        '{"topic": "kline.1.BTCUSDT", "ts": "now", "data": []}',
        '{"topic": "kline.1.BTCUSDT", "ts": 1719667601380, "data": [{}]}',
        '{"topic": "kline.1.BTCUSDT", "ts": 99999999999999999999, "data": []}',
    ],
)
def test_what_has_no_known_form_is_garbled(text: str) -> None:
    with pytest.raises(UnreadableResponse):
        parse(text)
