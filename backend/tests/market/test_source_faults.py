"""The fault matrix: what each source does with each fault. Nothing false comes out, and the error says what is wrong.

The outcome of a cell is an error with its words, or the candles that must come out all the same.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd
import pytest

from engine.candles import find_gaps
from market.errors import (
    ClockSkew,
    InvalidResponse,
    RateLimited,
    RegionBlocked,
    RequestRefused,
    SourceDown,
    SourceError,
    UnknownInstrument,
    UnreadableResponse,
)
from market.sources.client import HttpSettings
from tests.market.servers import faults
from tests.market.servers.faults import Fault
from tests.market.venues import NOW, Venue, hours

CANDLES = 300
# The data request of every source; Yahoo's cookie and crumb, and ccxt's markets, are another matter.
DATA = {"bybit": "kline", "bybit:linear": "kline", "binance": "klines", "yahoo": "BTC-USD", "ccxt:bitstamp": "btcusdt"}
QUOTES = {
    "bybit": "tickers",
    "bybit:linear": "tickers",
    "binance": "24hr",
    "yahoo": "BTC-USD",
    "ccxt:bitstamp": "btcusdt",
}


@dataclass(frozen=True)
class Refused:
    error: type[SourceError]
    words: str


class Whole:
    """All candles, as if nothing had happened."""


class WithGap:
    """All but the candle that was missing, and the gap shows."""


class Nothing:
    """No candles: the source says that it has none."""


Outcome = Refused | type[Whole] | type[WithGap] | type[Nothing]
UNREADABLE = Refused(UnreadableResponse, "cannot be parsed")
MATRIX: list[tuple[Fault, Outcome, dict[str, Outcome]]] = [
    (faults.status(429), Refused(RateLimited, "rate limit exceeded: HTTP 429"), {}),
    (faults.status(429, Retry_After="7"), Refused(RateLimited, "rate limit exceeded"), {}),
    (faults.status(418, Retry_After="120"), Refused(RateLimited, "rate limit exceeded"), {}),
    (faults.SERVER_ERROR, Refused(SourceDown, "server error: HTTP 503"), {}),
    (faults.status(500, b'{"oops": 1}'), Refused(SourceDown, "HTTP 500, '{\"oops\": 1}'"), {}),
    (faults.status(403, b"<html>The Amazon CloudFront distribution is configured to block access from your country."),
     Refused(RegionBlocked, "does not serve this region: HTTP 403"), {}),
    (faults.status(451, b'{"code": 0, "msg": "Service unavailable from a restricted location"}'),
     Refused(RegionBlocked, "restricted location"), {}),
    (faults.status(403, b"403, access too frequent"), Refused(RateLimited, "too frequent"), {}),
    (faults.status(400, b'{"code": 0, "msg": "Go away"}'), Refused(RequestRefused, "400"), {}),
    (faults.TRUNCATED, UNREADABLE, {}),
    (faults.INVALID, UNREADABLE, {}),
    (faults.CUT_OFF, Refused(UnreadableResponse, "cut off"), {}),
    # ccxt reads a missing field as nothing.
    (faults.OTHER_JSON, Refused(InvalidResponse, "unknown form"), {"ccxt:bitstamp": Nothing}),
    (faults.EMPTY, Nothing, {}),
    # Binance's candles and what ccxt makes of Bitstamp's name no symbol: that a price of another one came cannot be
    # seen here. It is seen in quotes and terms, below.
    (faults.OTHER_SYMBOL, Refused(InvalidResponse, "it answered with DOGEUSDT"),
     {"binance": Whole, "ccxt:bitstamp": Whole}),
    # Yahoo sends null, which is a price that is missing.
    (faults.NOT_A_NUMBER, Refused(InvalidResponse, "close is not a finite number in the candle of 2024-02"),
     {"yahoo": Refused(InvalidResponse, "a price is missing in the candle of 2024-02")}),
    (faults.ZERO_PRICE, Refused(InvalidResponse, "not above zero in the candle of 2024-02"), {}),
    (faults.HIGH_BELOW_LOW, Refused(InvalidResponse, "high is below low in the candle of 2024-02"), {}),
    (faults.BACKWARDS, Refused(InvalidResponse, "(out of order|backwards)"), {"ccxt:bitstamp": Whole}),
    (faults.DUPLICATED, Refused(InvalidResponse, "(twice|duplicates)"), {}),
    (faults.OFF_GRID, Refused(InvalidResponse, "where no 1h candle begins"),
     {"yahoo": Refused(InvalidResponse, "overlap")}),
    (faults.MISSING, WithGap, {}),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "usual", "exceptions"), MATRIX, ids=[str(cell[0]) for cell in MATRIX])
def test_a_faulty_answer(venue: Venue, fault: Fault, usual: Outcome, exceptions: dict[str, Outcome]):
    truth = venue.trades(CANDLES + 1)
    venue.server.faults.add(fault, path=DATA[venue.source.name])
    outcome = exceptions.get(venue.source.name, usual)
    if isinstance(outcome, Refused):
        with pytest.raises(outcome.error, match=f"^{venue.source.name}: .*{outcome.words}"):
            venue.source.candles(venue.symbol, "1h", truth.start, NOW)
    else:
        candles = venue.source.candles(venue.symbol, "1h", truth.start, NOW)
        whole = truth.closed(truth.start, NOW, NOW)
        expected = {Whole: whole, WithGap: whole.loc[candles.index], Nothing: whole.iloc[:0]}[outcome]
        pd.testing.assert_frame_equal(candles, expected, check_freq=False)
        if outcome is WithGap:
            assert len(candles) == CANDLES - 1
            assert [gap.missing for gap in find_gaps(candles.index, "1h")] == [1]
    # It was the request for data, and it was not repeated: retries belong to the guard.
    venue.server.faults.clear()
    candles = venue.source.candles(venue.symbol, "1h", truth.start, NOW)
    pd.testing.assert_frame_equal(candles, truth.closed(truth.start, NOW, NOW))


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (faults.OTHER_SYMBOL, Refused(InvalidResponse, "answered with DOGEUSDT")),
        (faults.ZERO_PRICE, Refused(InvalidResponse, "its last price of .* is")),
        (faults.NOT_A_NUMBER, Refused(InvalidResponse, "(its last price of .* is|unknown form)")),
        (faults.SERVER_ERROR, Refused(SourceDown, "HTTP 503")),
        (faults.TRUNCATED, UNREADABLE),
        (faults.OTHER_JSON, Refused(InvalidResponse, "(unknown form|its last price)")),
    ],
    ids=str,
)
def test_a_faulty_quote(venue: Venue, fault: Fault, outcome: Refused):
    if fault is faults.OTHER_SYMBOL and venue.source.name.startswith("ccxt"):
        pytest.skip("Bitstamp's ticker names no symbol")
    venue.trades(10)
    venue.source.quote(venue.symbol)
    venue.server.faults.add(fault, path=QUOTES[venue.source.name])
    with pytest.raises(outcome.error, match=outcome.words):
        venue.source.quote(venue.symbol)


TERMS = {"bybit": "instruments-info", "bybit:linear": "instruments-info", "binance": "exchangeInfo"}


def test_terms_of_another_instrument_are_refused(venue: Venue):
    if venue.source.name not in TERMS:
        pytest.skip("the terms are looked up in a list of all")
    venue.trades(10)
    venue.server.faults.add(faults.OTHER_SYMBOL, path=TERMS[venue.source.name])
    with pytest.raises(InvalidResponse, match="answered with DOGEUSDT"):
        venue.source.terms(venue.symbol)


def test_the_seconds_of_retry_after_are_kept(venue: Venue):
    truth = venue.trades(10)
    for header, seconds in (("7", 7.0), ("Fri, 01 Mar 2024 12:31:20 GMT", 60.0), ("soon", None), ("-5", None)):
        venue.server.faults.add(faults.status(429, Retry_After=header), times=1, path=DATA[venue.source.name])
        with pytest.raises(RateLimited) as caught:
            venue.source.candles(venue.symbol, "1h", truth.start, NOW)
        assert caught.value.retry_after == seconds
        venue.server.faults.clear()


def test_a_source_that_counts_requests_is_understood(venue: Venue):
    truth = venue.trades(10)
    venue.source.candles(venue.symbol, "1h", truth.start, NOW)
    venue.server.allowed = len(venue.server.asked)
    with pytest.raises(RateLimited) as caught:
        venue.source.candles(venue.symbol, "1h", truth.start, NOW)
    # Bybit names the moment, Binance the seconds.
    assert caught.value.retry_after == {"bybit": 2.0, "bybit:linear": 2.0, "binance": 2.0}.get(venue.source.name)
    assert caught.value.retry_helps


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_a_clock_that_is_wrong_is_no_candles(venue: Venue, ahead: int):
    truth = venue.trades(10)
    source = venue.kind.make(venue.server.url, HttpSettings(clock=lambda: NOW + timedelta(seconds=ahead)))
    with pytest.raises(ClockSkew, match=r"its clock says 2024-03-01 12:30:20 UTC, ours 2024-03-01 1[13]:30:20 UTC"):
        source.candles(venue.symbol, "1h", truth.start, NOW)


@pytest.mark.parametrize("ahead", [-20, 20])
def test_a_few_seconds_between_the_clocks_do_not_let_a_forming_candle_through(venue: Venue, ahead: int):
    truth = venue.trades(10)
    noon = NOW.replace(minute=0, second=0)
    venue.clock.now = noon - timedelta(seconds=10)
    source = venue.kind.make(venue.server.url, HttpSettings(clock=lambda: venue.clock.now + timedelta(seconds=ahead)))
    candles = source.candles(venue.symbol, "1h", truth.start, NOW)
    pd.testing.assert_frame_equal(candles, truth.closed(truth.start, NOW, noon - timedelta(seconds=10)))
    assert candles.index[-1].hour == 10


def test_a_name_that_does_not_resolve(venue: Venue):
    source = venue.kind.make(
        "http://nowhere.invalid:1", HttpSettings(clock=venue.clock, connect_seconds=2.0, read_seconds=2.0)
    )
    with pytest.raises(SourceDown, match=r"its name cannot be resolved \(DNS\)") as caught:
        source.candles(venue.symbol, "1h", NOW - hours(5), NOW)
    assert caught.value.retry_helps


def test_a_port_without_a_listener(venue: Venue):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        source = venue.kind.make(f"http://127.0.0.1:{taken.getsockname()[1]}", HttpSettings(clock=venue.clock))
        with pytest.raises(SourceDown, match="it cannot be reached"):
            source.candles(venue.symbol, "1h", NOW - hours(5), NOW)


@contextmanager
def full_port() -> Iterator[int]:
    """A listener that accepts no more connections: the next connection is neither made nor refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_connection_that_is_not_made_in_time(venue: Venue):
    with full_port() as port:
        source = venue.kind.make(
            f"http://127.0.0.1:{port}", HttpSettings(clock=venue.clock, connect_seconds=0.1, read_seconds=0.1)
        )
        with pytest.raises(SourceDown, match="within the time allowed"):
            source.candles(venue.symbol, "1h", NOW - hours(5), NOW)


def test_an_answer_that_does_not_come_in_time(venue: Venue):
    truth = venue.trades(10)
    source = venue.with_http(read_seconds=1.0)
    source.candles(venue.symbol, "1h", truth.start, NOW)
    venue.server.faults.add(faults.hanging(30), path=DATA[venue.source.name])
    with pytest.raises(SourceDown, match="no answer within the time allowed"):
        venue.with_http(connect_seconds=0.2, read_seconds=0.2).candles(venue.symbol, "1h", truth.start, NOW)


def test_a_fault_in_the_middle_of_a_history_loses_the_whole_and_not_a_part(venue: Venue):
    truth = venue.trades(9_000)
    venue.source.candles(venue.symbol, "1h", NOW - hours(5), NOW)
    venue.server.faults.add(faults.NONE, times=1, path=DATA[venue.source.name])
    venue.server.faults.add(faults.SERVER_ERROR, times=1, path=DATA[venue.source.name])
    with pytest.raises(SourceDown):
        venue.source.candles(venue.symbol, "1h", truth.start, NOW)


def test_only_the_unknown_is_called_unknown(venue: Venue):
    """An "unknown" symbol is dropped by the caller: no outage may look like it."""
    truth = venue.trades(10)
    for fault, *_ in MATRIX:
        venue.server.faults.clear()
        venue.server.faults.add(fault, path=DATA[venue.source.name])
        try:
            venue.source.candles(venue.symbol, "1h", truth.start, NOW)
        except SourceError as error:
            assert not isinstance(error, UnknownInstrument)  # noqa: PT017
