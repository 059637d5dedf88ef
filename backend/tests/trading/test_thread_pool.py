"""The thread pool and live quotes: a source that hangs delays no other."""

from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic

import pytest

from market.errors import SourceDown
from market.models import Symbol
from market.sources.base import Price
from trading.live import quotes
from trading.live.quotes import LiveQuotes
from trading.live.thread_pool import ThreadPool

NOW = datetime(2024, 3, 6, 12, tzinfo=UTC)
PATIENCE_SECONDS = 10.0


def test_at_most_one_job_of_a_key_runs_at_a_time() -> None:
    pool, go_on, done = ThreadPool[str](2), Event(), []
    assert pool.submit("one", lambda: go_on.wait(PATIENCE_SECONDS) and done.append("one"))
    assert not pool.submit("one", lambda: done.append("again"))
    assert pool.submit("two", lambda: done.append("two"))
    assert pool.wait(["two"], PATIENCE_SECONDS)
    assert (pool.is_busy("one"), pool.is_busy("two")) == (True, False)
    assert not pool.wait(["one"], 0.05)
    go_on.set()
    assert pool.wait(["one", "two"], PATIENCE_SECONDS)
    assert done == ["two", "one"]
    assert pool.submit("one", lambda: done.append("again"))


@pytest.mark.parametrize("workers", [0, 2])
def test_each_result_is_returned_once(workers: int) -> None:
    pool = ThreadPool[str](workers)

    def fail() -> None:
        raise SourceDown("bybit", "it does not work")

    pool.submit("good", lambda: None)
    pool.submit("bad", fail)
    assert pool.wait(["good", "bad"], PATIENCE_SECONDS)
    errors = {result.key: str(result.error) for result in pool.results()}
    assert errors == {"good": "None", "bad": "bybit: it does not work"}
    assert pool.results() == []


def symbols(*names: str) -> list[Symbol]:
    return [Symbol(pk=number, symbol=name, kind="crypto") for number, name in enumerate(names)]


def test_a_source_that_hangs_delays_the_others_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "PATIENCE_SECONDS", 0.3)
    go_on = Event()

    def fetch_price(symbol: Symbol) -> Price:
        if symbol.symbol == "SLOWUSDT":
            go_on.wait(PATIENCE_SECONDS)
        if symbol.symbol == "BADUSDT":
            raise SourceDown("bybit", "it does not work")
        return Price(NOW, 100.0)

    slow, bad, good = symbols("SLOWUSDT", "BADUSDT", "BTCUSDT")
    live, begun = LiveQuotes(fetch_price, lambda: NOW, workers=3), monotonic()
    live.fetch({slow: NOW, bad: NOW, good: NOW})
    assert monotonic() - begun < PATIENCE_SECONDS / 2
    assert live.after("BTCUSDT", NOW) == Price(NOW, 100.0)
    assert (live.after("SLOWUSDT", NOW), live.after("BADUSDT", NOW)) == (None, None)
    assert list(live.problems) == ["BADUSDT"]
    go_on.set()
    monkeypatch.setattr(quotes, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    live.fetch({slow: NOW})
    assert live.after("SLOWUSDT", NOW) == Price(NOW, 100.0)


def test_a_quote_is_fetched_again_for_a_later_decision() -> None:
    asked, clock = [], [NOW]
    live = LiveQuotes(lambda symbol: asked.append(clock[0]) or Price(clock[0], 100.0), lambda: clock[0], workers=0)
    (bitcoin,) = symbols("BTCUSDT")
    for passed, decided_at, times in ((0.0, 0.0, 1), (0.5, 0.0, 1), (1.0, 0.9, 2), (4.0, 0.9, 3)):
        clock[0] = NOW + timedelta(seconds=passed)
        live.fetch({bitcoin: NOW + timedelta(seconds=decided_at)})
        assert len(asked) == times
    assert live.after("BTCUSDT", NOW + timedelta(seconds=5)) is None
    clock[0] = NOW + timedelta(seconds=10)
    price = live.after("BTCUSDT", NOW)
    assert price is not None
    assert price.age_seconds == 6.0
