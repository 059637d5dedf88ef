"""What the Market Monitor keeps in memory saves time, and changes nothing of what it tells."""

from collections.abc import Callable, Sequence
from itertools import count

import pandas as pd
import psycopg
import pytest
from django.db import connection
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market.models import Candle, Symbol
from market.services import add_symbol, store_candles
from tests.markets import random_candles
from trading.agents.market_monitor import MarketMonitor
from trading.models import Message

pytestmark = pytest.mark.django_db(transaction=True)

HISTORY = 60
CANDLES = random_candles(HISTORY + 60)
NUMBERS = count()


class Course:
    """A market whose candles come in some order; `monitor` gives who tells of them."""

    def __init__(self, monitor: Callable[[], MarketMonitor]) -> None:
        self.monitor = monitor
        self.symbol: Symbol = add_symbol(f"A{next(NUMBERS)}USDT")
        self.told: list[Message | None] = []
        self._row, self._left_out = HISTORY, list[int]()
        store_candles(self.symbol, "1h", CANDLES[:HISTORY], "test")

    def play(self, steps: Sequence[str]) -> "Course":
        for step in steps:
            getattr(self, step)()
        return self

    def payloads(self) -> list[object]:
        return [message and {**message.payload, "ticker": None} for message in self.told]

    def next(self) -> None:
        self._tell(self._upcoming())

    def two_at_once(self) -> None:
        self._tell(pd.concat([self._upcoming(), self._upcoming()]))

    def stored_before(self) -> None:
        upcoming = self._upcoming()
        store_candles(self.symbol, "1h", upcoming, "test")
        self._tell(upcoming)

    def stored_with_the_one_after(self) -> None:
        store_candles(self.symbol, "1h", CANDLES[self._row : self._row + 2], "test")
        self._tell(self._upcoming())

    def leave_out(self) -> None:
        self._left_out.append(self._row)
        self._upcoming()

    def fill_in(self) -> None:
        if self._left_out:
            row = self._left_out.pop(0)
            store_candles(self.symbol, "1h", CANDLES[row : row + 1], "test")

    def an_old_one(self) -> None:
        self._tell(CANDLES[self._row - 2 : self._row - 1])

    def _upcoming(self) -> pd.DataFrame:
        self._row += 1
        return CANDLES[self._row - 1 : self._row]

    def _tell(self, candles: pd.DataFrame) -> None:
        self.told.append(self.monitor().publish(self.symbol, "1h", candles, "test"))


STEPS = [name for name in vars(Course) if not name.startswith("_") and name not in ("play", "payloads")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=2, max_size=12))
@example(["leave_out", "leave_out", "next", "fill_in", "an_old_one"])
def test_it_tells_what_the_table_says(steps: list[str]) -> None:
    kept = MarketMonitor()
    remembering, reading = (Course(monitor).play(steps) for monitor in (lambda: kept, MarketMonitor))
    assert remembering.payloads() == reading.payloads()
    assert _times(remembering.symbol) == _times(reading.symbol)
    told = {message.pk for message in remembering.told if message}
    assert told == set(Message.objects.filter(symbol=remembering.symbol).values_list("pk", flat=True))


@pytest.mark.skipif(connection.vendor != "postgresql", reason="counted in the driver of PostgreSQL")
def test_a_candle_takes_two_inserts_and_one_count(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = MarketMonitor()
    course = Course(lambda: kept).play(["next"])
    asked: list[str] = []
    execute = psycopg.Cursor.execute

    def counted(cursor: psycopg.Cursor, sql: str, *arguments: object, **options: object) -> psycopg.Cursor:
        asked.append(str(sql))
        return execute(cursor, sql, *arguments, **options)

    # Not by Django's log of queries: prepared statements and arrays go past it.
    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    for _ in range(3):
        asked.clear()
        course.next()
        assert [sql.partition(" (")[0] for sql in asked] == [
            "INSERT INTO market_candle",
            'SELECT COUNT(*) AS "__count" FROM "market_candle" WHERE',
            'INSERT INTO "trading_message"',
        ]


def _times(symbol: Symbol) -> list[object]:
    return list(Candle.objects.filter(symbol=symbol).order_by("open_time").values_list("open_time", "close"))
