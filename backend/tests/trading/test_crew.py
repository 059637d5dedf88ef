"""Threads for what may take seconds: nobody waits for a source that hangs."""

from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic

import pytest

from market.errors import SourceDown
from market.models import Symbol
from market.sources.base import Price
from trading.live import quotes
from trading.live.quotes import LiveQuotes
from trading.live.thread_pool import Crew

NOW = datetime(2024, 3, 6, 12, tzinfo=UTC)
PATIENCE_SECONDS = 10.0


def test_a_key_is_worked_on_once_at_a_time() -> None:
    crew, go_on, done = Crew[str](2), Event(), []
    assert crew.submit("one", lambda: go_on.wait(PATIENCE_SECONDS) and done.append("one"))
    assert not crew.submit("one", lambda: done.append("again"))
    assert crew.submit("two", lambda: done.append("two"))
    assert crew.wait(["two"], PATIENCE_SECONDS)
    assert (crew.is_busy("one"), crew.is_busy("two")) == (True, False)
    assert not crew.wait(["one"], 0.05)
    go_on.set()
    assert crew.wait(["one", "two"], PATIENCE_SECONDS)
    assert done == ["two", "one"]
    assert crew.submit("one", lambda: done.append("again"))


@pytest.mark.parametrize("members", [0, 2])
def test_what_went_wrong_is_told_once(members: int) -> None:
    crew = Crew[str](members)

    def fail() -> None:
        raise SourceDown("bybit", "it does not work")

    crew.submit("good", lambda: None)
    crew.submit("bad", fail)
    assert crew.wait(["good", "bad"], PATIENCE_SECONDS)
    told = {outcome.key: str(outcome.error) for outcome in crew.outcomes()}
    assert told == {"good": "None", "bad": "bybit: it does not work"}
    assert crew.outcomes() == []


def symbols(*names: str) -> list[Symbol]:
    return [Symbol(pk=number, symbol=name, kind="crypto") for number, name in enumerate(names)]


def test_a_source_that_hangs_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "PATIENCE_SECONDS", 0.3)
    go_on = Event()

    def ask(symbol: Symbol) -> Price:
        if symbol.symbol == "SLOWUSDT":
            go_on.wait(PATIENCE_SECONDS)
        if symbol.symbol == "BADUSDT":
            raise SourceDown("bybit", "it does not work")
        return Price(NOW, 100.0)

    slow, bad, good = symbols("SLOWUSDT", "BADUSDT", "BTCUSDT")
    live, begun = LiveQuotes(ask, lambda: NOW, members=3), monotonic()
    live.fetch({slow: NOW, bad: NOW, good: NOW})
    assert monotonic() - begun < PATIENCE_SECONDS / 2
    assert live.after("BTCUSDT", NOW) == Price(NOW, 100.0)
    assert (live.after("SLOWUSDT", NOW), live.after("BADUSDT", NOW)) == (None, None)
    assert list(live.problems) == ["BADUSDT"]
    go_on.set()
    monkeypatch.setattr(quotes, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    live.fetch({slow: NOW})
    assert live.after("SLOWUSDT", NOW) == Price(NOW, 100.0)


def test_a_quote_is_asked_for_again_for_what_is_decided_after_it() -> None:
    asked, clock = [], [NOW]
    live = LiveQuotes(lambda symbol: asked.append(clock[0]) or Price(clock[0], 100.0), lambda: clock[0], members=0)
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
