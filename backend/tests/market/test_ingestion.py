from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from django.db import transaction
from django.db.models import QuerySet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from engine.candles import CandleError, find_gaps
from market.errors import SourceDown
from market.ingestion.backfill import WAITS, Filled, fill_gaps
from market.ingestion.candles import ingest, poll, store
from market.ingestion.history import OVERLAP
from market.models import Candle, CandleGap, CandleRevision, Symbol
from market.selectors import candle_frame, staleness
from market.services import add_symbol, store_candles
from market.sources.base import FIRST_CANDLES
from tests.market.known_source import KnownSource
from tests.markets import random_candles, real_candles

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TRUTH = random_candles(60)


def after(candles: int) -> datetime:
    """The moment at which so many candles of TRUTH have closed."""
    return START + candles * HOUR


def stored(symbol: Symbol, interval: str = "1h") -> pd.DataFrame:
    return candle_frame(symbol, interval)


def gaps(symbol: Symbol) -> "QuerySet[CandleGap]":
    return CandleGap.objects.filter(symbol=symbol, interval="1h")


def missing(symbol: Symbol) -> int:
    return sum(gap.missing for gap in gaps(symbol))


def same(found: pd.DataFrame, expected: pd.DataFrame) -> bool:
    return found.index.equals(expected.index) and bool((found.to_numpy() == expected.to_numpy()).all())


@pytest.fixture
def btc(db) -> Symbol:
    return add_symbol("BTCUSDT")


def test_it_stores_what_has_closed(btc: Symbol):
    source = KnownSource(TRUTH)
    came = ingest(btc, "1h", source.fetch, after(10))
    assert (came.source, came.new, came.revised, came.gaps) == ("bybit", 10, 0, 0)
    assert same(stored(btc), TRUTH.iloc[:10])
    assert ingest(btc, "1h", source.fetch, after(13)).new == 3
    assert same(stored(btc), TRUTH.iloc[:13])
    assert set(Candle.objects.values_list("source", flat=True)) == {"bybit"}


def test_stored_candles_can_be_asked_for_again(btc: Symbol):
    ingest(btc, "1h", KnownSource(TRUTH).fetch, after(10))
    changed = TRUTH.copy()
    changed.iloc[4, changed.columns.get_loc("volume")] += 1
    source = KnownSource(changed)
    assert ingest(btc, "1h", source.fetch, after(10)).source is None
    assert ingest(btc, "1h", source.fetch, after(10), again=5).revised == 0
    assert ingest(btc, "1h", source.fetch, after(10), again=6).revised == 1
    assert same(stored(btc), TRUTH.iloc[:10])


def test_the_forming_candle_is_left_out_whatever_the_source_thinks(btc: Symbol):
    hasty = KnownSource(TRUTH)
    ingest(btc, "1h", hasty.fetch, after(10) + HOUR / 2)
    assert len(stored(btc)) == 10
    ingest(btc, "1h", hasty.fetch, after(11))
    assert len(stored(btc)) == 11


def test_no_source_is_asked_while_nothing_can_have_closed(btc: Symbol):
    source = KnownSource(TRUTH)
    ingest(btc, "1h", source.fetch, after(10))
    came = ingest(btc, "1h", source.fetch, after(10) + HOUR / 2)
    assert (came.source, came.new, len(source.asked)) == (None, 0, 1)


def test_the_first_time_it_asks_for_as_much_as_the_indicators_asked_at(btc: Symbol):
    source = KnownSource(TRUTH)
    ingest(btc, "1h", source.fetch, after(10))
    assert source.asked == [(after(10) - FIRST_CANDLES * HOUR, after(10))]


def test_later_it_asks_for_a_small_overlap(btc: Symbol):
    source = KnownSource(TRUTH)
    ingest(btc, "1h", source.fetch, after(10))
    ingest(btc, "1h", source.fetch, after(11))
    assert source.asked[-1] == (after(10 - OVERLAP), after(11))


def test_a_stock_is_asked_for_so_many_candles_of_its_sessions():
    apple = Symbol(symbol="AAPL", kind="stock", pk=0)
    source = KnownSource(TRUTH)
    asked_at = datetime(2024, 6, 1, tzinfo=UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("database.candles.read", lambda *_, **__: (np.empty(0, "datetime64[us]"), np.empty((5, 0))))
        poll(apple, "1h", source.fetch, asked_at)
    assert timedelta(days=200) < asked_at - source.asked[0][0] < timedelta(days=215)


def test_a_failed_source_changes_nothing(btc: Symbol):
    source = KnownSource(TRUTH)
    ingest(btc, "1h", source.fetch, after(10))
    before = list(Candle.objects.values())
    source.down = True
    with pytest.raises(SourceDown):
        ingest(btc, "1h", source.fetch, after(12))
    assert list(Candle.objects.values()) == before
    source.down = False
    assert ingest(btc, "1h", source.fetch, after(14)).new == 4


def test_an_unknown_interval_is_refused(btc: Symbol):
    with pytest.raises(CandleError, match="unknown interval"):
        ingest(btc, "7h", KnownSource(TRUTH).fetch, after(3))


def test_a_poll_writes_nothing(btc: Symbol):
    update = poll(btc, "1h", KnownSource(TRUTH).without(4).fetch, after(10))
    assert len(update.new) == 9
    assert not Candle.objects.exists()
    assert not CandleGap.objects.exists()
    assert store(update).new == 9


def test_what_is_stored_is_rolled_back_with_the_transaction_around_it(btc: Symbol):
    update = poll(btc, "1h", KnownSource(TRUTH).without(4).fetch, after(10))
    with transaction.atomic():
        store(update)
        transaction.set_rollback(True)
    assert not Candle.objects.exists()
    assert not CandleGap.objects.exists()


def test_two_processes_that_poll_at_the_same_time_store_it_once(btc: Symbol):
    source = KnownSource(TRUTH).without(4)
    updates = [poll(btc, "1h", source.fetch, after(10)) for _ in range(2)]
    assert [store(update).new for update in updates] == [9, 0]
    assert (len(stored(btc)), missing(btc)) == (9, 1)


def test_a_gap_is_found_kept_and_filled_when_the_source_has_it(btc: Symbol):
    patchy = KnownSource(TRUTH).without(4, 5, 8)
    assert ingest(btc, "1h", patchy.fetch, after(10)).gaps == 3
    assert [(gap.first_missing, gap.missing) for gap in gaps(btc)] == [(after(4), 2), (after(8), 1)]
    filled = fill_gaps(btc, "1h", KnownSource(TRUTH).fetch, after(10) + WAITS[0])
    assert (filled.found, filled.missing, filled.problems) == (3, 0, ())
    assert same(stored(btc), TRUTH.iloc[:10])
    assert not CandleGap.objects.exists()


def test_a_gap_between_two_polls_is_found(btc: Symbol):
    source = KnownSource(TRUTH).without(10, 11)
    ingest(btc, "1h", source.fetch, after(10))
    assert ingest(btc, "1h", source.fetch, after(12)).new == 0
    assert not CandleGap.objects.exists()  # late, and perhaps only that
    assert ingest(btc, "1h", source.fetch, after(13)).gaps == 2


def test_what_is_left_of_a_gap_stays_and_is_asked_for_less_and_less(btc: Symbol):
    ingest(btc, "1h", KnownSource(TRUTH).without(4, 5, 6).fetch, after(10))
    now, found_at = after(10), after(10)
    better = KnownSource(TRUTH).without(4, 6)
    for tries, wait in enumerate(WAITS):
        assert fill_gaps(btc, "1h", better.fetch, now + wait - timedelta(seconds=1)) == Filled()
        now += wait
        filled = fill_gaps(btc, "1h", better.fetch, now)
        assert (filled.found, filled.missing) == (int(tries == 0), 2)
    rows = gaps(btc)
    assert [(row.first_missing, row.missing, row.tries, row.next_try) for row in rows] == [
        (after(4), 1, len(WAITS), None),
        (after(6), 1, len(WAITS), None),
    ]
    assert {row.found_at for row in rows} == {found_at}
    assert missing(btc) == 2


def test_a_source_that_is_down_costs_a_gap_no_try(btc: Symbol):
    source = KnownSource(TRUTH)
    ingest(btc, "1h", source.without(4).fetch, after(10))
    source.down = True
    filled = fill_gaps(btc, "1h", source.fetch, after(10) + WAITS[0])
    assert filled.problems == ("bybit: does not answer",)
    gap = CandleGap.objects.get()
    assert (gap.tries, gap.next_try) == (0, after(10) + 2 * WAITS[0])


def test_a_weekend_is_no_gap(db):
    euro = add_symbol("EURUSD")
    week = pd.date_range("2024-03-08T00:00", "2024-03-12T00:00", freq="h", tz="UTC")
    traded = week[(week < "2024-03-08T22:00Z") | (week >= "2024-03-10T21:00Z")]  # Summer time began that Sunday.
    frame = random_candles(len(traded)).set_index(traded)
    assert ingest(euro, "1h", KnownSource(frame).fetch, datetime(2024, 3, 12, tzinfo=UTC)).gaps == 0
    assert not CandleGap.objects.exists()


def test_staleness_counts_from_when_the_next_candle_was_due(btc: Symbol):
    assert staleness(btc, "1h", after(0)) is None
    ingest(btc, "1h", KnownSource(TRUTH).fetch, after(10))
    assert staleness(btc, "1h", after(10)) == 0
    assert staleness(btc, "1h", after(11)) == 0
    assert staleness(btc, "1h", after(11) + timedelta(seconds=30)) == 30
    assert staleness(btc, "1h", after(35)) == 24 * 3600


def test_a_closed_market_makes_nothing_late(db):
    apple = add_symbol("AAPL")
    friday = pd.DatetimeIndex(["2024-03-07T00:00Z", "2024-03-08T00:00Z"])
    store_candles(apple, "1d", random_candles(2).set_index(friday), "yahoo")
    assert staleness(apple, "1d", datetime(2024, 3, 11, 13, tzinfo=UTC)) == 0
    assert staleness(apple, "1d", datetime(2024, 3, 11, 20, 0, 10, tzinfo=UTC)) == 10


def test_a_real_series_with_outages_is_ingested_as_it_is(btc: Symbol, real_data: Path):
    truth = real_candles(real_data, "BTCUSDT_1h").iloc[:4000]
    source = KnownSource(truth)
    now = truth.index[500].to_pydatetime()
    while now < truth.index[-1].to_pydatetime() + HOUR:
        ingest(btc, "1h", source.fetch, now)
        now += 333 * HOUR
    ingest(btc, "1h", source.fetch, truth.index[-1].to_pydatetime() + HOUR)
    assert same(stored(btc), truth.loc[stored(btc).index[0] :])
    outages = find_gaps(truth.loc[stored(btc).index[0] :].index, "1h")
    assert len(outages) == 3
    assert [gap.missing for gap in gaps(btc)] == [gap.missing for gap in outages]


class AnyOrder(TestCase):
    """Whatever a source does, the stored series is the truth as it was first seen."""

    @settings(max_examples=60, deadline=None)
    @given(
        steps=st.lists(
            st.tuples(
                st.integers(1, 50),  # now, in candles of TRUTH
                st.sets(st.integers(0, 49), max_size=8),  # what the source cannot tell this time
                st.none() | st.tuples(st.integers(0, 49), st.sampled_from([0.5, 1.0, 2.0])),  # what it tells otherwise
                st.booleans(),  # whether gaps are asked for again
            ),
            min_size=1,
            max_size=12,
        )
    )
    def test_any_order_of_fetches_holes_repeats_and_revisions(self, steps):
        symbol = add_symbol("BTCUSDT")
        first_reported: dict[pd.Timestamp, tuple[float, ...]] = {}
        for now, holes, change, again in steps:
            source = KnownSource(TRUTH) if change is None else self.otherwise(*change)
            source = source.without(*holes)
            before = set(stored(symbol).index)
            ingest(symbol, "1h", source.fetch, after(now))
            if again:
                fill_gaps(symbol, "1h", source.fetch, after(now) + timedelta(days=400))
            reported = source.reported
            for time in stored(symbol).index.difference(pd.DatetimeIndex(sorted(before), tz="UTC")):
                first_reported[time] = tuple(reported.loc[time])
        frame = stored(symbol)
        assert {
            time: tuple(row) for time, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)
        } == first_reported
        self.check_gaps(symbol, frame)
        self.check_revisions(symbol, frame)

    @staticmethod
    def otherwise(row: int, factor: float) -> KnownSource:
        return KnownSource(TRUTH).with_closes(row, float(TRUTH["close"].iloc[row]) * factor)

    @staticmethod
    def check_gaps(symbol: Symbol, frame: pd.DataFrame):
        """What is missing between the stored candles stands in the gaps, candle by candle."""
        spans = [(gap.first_missing, gap.last_missing) for gap in gaps(symbol)]
        kept = {time for first, last in spans for time in pd.date_range(first, last, freq="h")}
        if len(frame):
            between = set(pd.date_range(frame.index[0], frame.index[-1], freq="h")) - set(frame.index)
            assert between <= kept

    @staticmethod
    def check_revisions(symbol: Symbol, frame: pd.DataFrame):
        reported = list(CandleRevision.objects.values_list("open_time", "open", "high", "low", "close", "volume"))
        assert len(set(reported)) == len(reported) == CandleRevision.objects.filter(symbol=symbol).count()
        for time, *values in reported:
            assert tuple(frame.loc[time]) != tuple(values)
