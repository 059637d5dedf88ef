"""How far back a first poll goes, and what is fetched of the time before when a model is to be trained."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pandas as pd
import pytest

from market.calendar.sessions import moment, session_of
from market.errors import MarketError, SourceDown
from market.ingestion import history
from market.ingestion.backfill import WAITS
from market.ingestion.candles import Ingested, ingest
from market.ingestion.extras import ingest_extras, store_more
from market.ingestion.history import top_up
from market.ingestion.rescaling import Rescaled
from market.models import Candle, CandleGap, CandleRevision, Symbol
from market.selectors import candle_frame
from market.services import add_symbol, store_candles
from market.sources import choice
from market.sources.base import FIRST_CANDLES, FIRST_SPAN, Prices
from market.sources.csv_source import CsvSource
from market.sources.replay import ReplaySource
from tests.market.known_source import KnownSource
from tests.market.venues import KINDS, NOW, Venue, opened
from tests.markets import random_candles

pytestmark = pytest.mark.django_db
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
END = datetime(2024, 3, 1, tzinfo=UTC)
MONTH = int(FIRST_SPAN / (5 * MINUTE))


def fives(count: int, end: datetime = END) -> pd.DataFrame:
    """Candles of five minutes, the last of which closes at `end`."""
    return random_candles(count).set_index(pd.date_range(end=end - 5 * MINUTE, periods=count, freq="5min", unit="us"))


class Fives(KnownSource):
    def __init__(self, candles: pd.DataFrame, name: str = "bybit") -> None:
        super().__init__(candles, name, frozenset({"5m"}))


class ShortOfBreath(Fives):
    """It answers so many requests, and is then down."""

    answers = 1

    def candles(self, symbol: str, interval: str, start: datetime, end: datetime) -> pd.DataFrame:
        self.down = len(self.asked) >= self.answers
        return super().candles(symbol, interval, start, end)


@pytest.fixture
def btc() -> Symbol:
    return add_symbol("BTCUSDT")


def first_poll(symbol: Symbol, source: KnownSource, now: datetime = END) -> Ingested:
    return ingest(symbol, "5m", source.fetch, now)


def is_stored(symbol: Symbol, expected: pd.DataFrame, interval: str = "5m") -> bool:
    found = candle_frame(symbol, interval)
    return found.index.equals(expected.index) and bool((found.to_numpy() == expected.to_numpy()).all())


def of_venue(venue: Venue, interval: str) -> Callable[[], Ingested]:
    fetch = partial(choice.fetch, sources=[venue.source])
    return lambda: ingest(add_symbol(venue.symbol), interval, fetch, NOW)


def test_each_source_gives_a_month_at_the_first_poll(venue: Venue):
    truth = venue.trades(MONTH + 2000, "5m")
    came = of_venue(venue, "5m")()
    month = truth.closed(NOW - FIRST_SPAN, NOW, NOW)
    assert len(month) == MONTH - 1
    assert is_stored(add_symbol(venue.symbol), month)
    assert (came.new, came.revised, came.gaps, came.problem) == (len(month), 0, 0, "")


def test_each_source_gives_what_there_is_since_the_listing(venue: Venue):
    truth = venue.trades(3001, "5m")
    came = of_venue(venue, "5m")()
    assert is_stored(add_symbol(venue.symbol), truth.closed(truth.start, NOW, NOW))
    assert (came.new, came.gaps, came.problem) == (3000, 0, "")
    assert not CandleGap.objects.exists()


def test_yahoo_gives_the_minutes_that_it_keeps():
    with opened(next(kind for kind in KINDS if kind.name == "yahoo")) as venue:
        truth = venue.trades(31 * 24 * 60, "1m")
        came = of_venue(venue, "1m")()
        earliest = venue.source.earliest("1m", NOW)
        kept = truth.closed(earliest, NOW, NOW)
        assert is_stored(add_symbol(venue.symbol), kept, "1m")
        assert (came.new, came.gaps, came.problem) == (len(kept), 0, "")


def test_a_market_that_slept_too_long_goes_on_where_its_source_begins():
    with opened(next(kind for kind in KINDS if kind.name == "yahoo")) as venue:
        truth = venue.trades(45 * 24 * 60, "1m")
        symbol = add_symbol(venue.symbol)
        store_candles(symbol, "1m", truth.closed(truth.start, truth.start + 10 * MINUTE, NOW), "yahoo")
        of_venue(venue, "1m")()
        kept = truth.closed(venue.source.earliest("1m", NOW), NOW, NOW)
        assert candle_frame(symbol, "1m").index[10:].equals(kept.index)
        assert sum(gap.missing for gap in symbol.gaps.filter(interval="1m")) == 45 * 24 * 60 - 1 - 10 - len(kept)


def test_the_longer_of_a_thousand_candles_and_a_month_is_asked_for(btc: Symbol):
    for interval, length, expected in (("5m", 5 * MINUTE, FIRST_SPAN), ("1h", 60 * MINUTE, 1000 * 60 * MINUTE)):
        source = KnownSource(fives(MONTH + 9000)[:: length // (5 * MINUTE)])
        ingest(btc, interval, source.fetch, END)
        assert min(start for start, _ in source.asked) == END - expected


def test_the_newest_candles_are_asked_for_first_and_never_twice(btc: Symbol):
    source = Fives(fives(MONTH))
    first_poll(btc, source)
    newest, *before = source.asked
    assert newest == (END - FIRST_CANDLES * 5 * MINUTE, END)
    assert [end for _, end in before] == [start for start, _ in source.asked[:-1]]


def test_a_month_of_a_stock_is_asked_for_by_its_sessions():
    apple, now = add_symbol("AAPL"), datetime(2024, 6, 3, 20, tzinfo=UTC)
    opens = session_of("AAPL").open_times("1m", moment(now - 40 * DAY), moment(now))
    times = pd.DatetimeIndex(opens, tz="UTC")
    truth = random_candles(len(times)).set_index(times)
    source = KnownSource(truth, "yahoo")
    came = ingest(apple, "1m", source.fetch, now)
    month = truth[truth.index >= now - FIRST_SPAN]
    assert is_stored(apple, month, "1m")
    assert (came.new, came.gaps) == (len(month), 0)
    assert not CandleGap.objects.exists()


def test_a_failure_before_the_first_thousand_does_not_prevent_the_start(btc: Symbol):
    truth = fives(MONTH)
    came = first_poll(btc, ShortOfBreath(truth))
    assert (came.new, came.problem) == (FIRST_CANDLES, "bybit: does not answer")
    assert is_stored(btc, truth.iloc[-FIRST_CANDLES:])


def test_a_failure_before_the_first_thousand_of_a_further_interval_is_reported(btc: Symbol):
    store_more(btc, ["5m"])
    assert ingest_extras(btc, "1h", ShortOfBreath(fives(MONTH)).fetch, END) == ["bybit: does not answer"]
    assert Candle.objects.count() == FIRST_CANDLES


def test_a_slow_source_leaves_the_rest_for_the_training(btc: Symbol, monkeypatch: pytest.MonkeyPatch):
    truth, source = fives(MONTH), Fives(fives(MONTH))
    monkeypatch.setattr(history, "FIRST_SECONDS", 0.0)
    came = first_poll(btc, source)
    assert "bybit is slow" in came.problem
    assert came.new == FIRST_CANDLES + history.PIECE_CANDLES
    assert top_up(btc, "5m", source, END) == MONTH - came.new
    assert is_stored(btc, truth)


def test_gaps_of_the_month_are_kept_and_asked_for_once_more(btc: Symbol):
    whole = fives(MONTH)
    first_poll(btc, Fives(whole.drop(whole.index[[10, 11, 3000]])))
    assert [gap.missing for gap in btc.gaps.filter(interval="5m")] == [2, 1]
    assert {gap.next_try - END for gap in btc.gaps.filter(interval="5m")} == {WAITS[-1]}


def shortened(symbol: Symbol, truth: pd.DataFrame, rows: int) -> None:
    store_candles(symbol, "5m", truth.iloc[-rows:], "bybit")


def test_what_is_less_than_a_month_is_topped_up_to_it(btc: Symbol):
    truth = fives(MONTH + 500)
    shortened(btc, truth, 700)
    before = list(Candle.objects.order_by("open_time").values())
    source = Fives(truth)
    assert top_up(btc, "5m", source, END) == MONTH - 700
    assert is_stored(btc, truth.iloc[-MONTH:])
    assert list(Candle.objects.order_by("open_time").values())[-700:] == before
    assert not CandleRevision.objects.exists()
    assert not CandleGap.objects.exists()
    asked = len(source.asked)
    assert (top_up(btc, "5m", source, END), len(source.asked)) == (0, asked)


def test_gaps_before_and_behind_the_oldest_stored_candle_are_kept(btc: Symbol):
    truth = fives(2000)
    shortened(btc, truth, 700)
    oldest = truth.index[-700]
    top_up(btc, "5m", Fives(truth.drop(truth.index[[100, 101, 1299]])), END)
    found = [(gap.first_missing, gap.missing) for gap in btc.gaps.filter(interval="5m")]
    assert found == [(truth.index[100], 2), (oldest - 5 * MINUTE, 1)]


def test_a_source_that_has_no_more_is_asked_once_for_a_top_up(btc: Symbol):
    truth = fives(700)
    shortened(btc, truth, 700)
    source = Fives(truth)
    assert top_up(btc, "5m", source, END) == 0
    assert len(source.asked) == 1
    assert not CandleGap.objects.exists()


def test_what_the_source_says_otherwise_of_a_stored_candle_is_left_alone(btc: Symbol):
    truth = fives(900)
    shortened(btc, truth, 700)
    top_up(btc, "5m", Fives(truth.assign(volume=truth["volume"] * 2)), END)
    found = candle_frame(btc, "5m")
    assert (found["volume"].iloc[-700:].to_numpy() == truth["volume"].iloc[-700:].to_numpy()).all()
    assert not CandleRevision.objects.exists()


def test_nothing_on_another_scale_is_put_before_a_series(btc: Symbol):
    truth = fives(900)
    shortened(btc, truth, 700)
    split = Fives(truth.assign(**{name: truth[name] / 4 for name in ("open", "high", "low", "close")}))
    split.prices = Prices.SPLIT_ADJUSTED
    with pytest.raises(Rescaled, match=r"rescaled BTCUSDT 5m by 0\.25"):
        top_up(btc, "5m", split, END)
    assert Candle.objects.count() == 700


def test_what_had_come_before_a_failure_stays(btc: Symbol):
    truth = fives(MONTH)
    shortened(btc, truth, 700)
    with pytest.raises(SourceDown):
        top_up(btc, "5m", ShortOfBreath(truth), END)
    stored = Candle.objects.count()
    assert 700 < stored < MONTH
    assert is_stored(btc, truth.iloc[-stored:])


def test_a_file_is_no_reason_to_fail(btc: Symbol, tmp_path):
    truth = fives(MONTH)
    shortened(btc, truth, 700)
    with pytest.raises(MarketError):
        top_up(btc, "5m", CsvSource([tmp_path]), END)


@pytest.mark.parametrize(("every", "rows", "expected"), [("min", 90_000, 43_200), ("h", 5000, 1000), ("h", 60, 30)])
def test_a_file_that_is_played_begins_with_as_much_as_a_live_market(every: str, rows: int, expected: int):
    candles = random_candles(rows).set_index(pd.date_range(END, periods=rows, freq=every, unit="us"))
    played = ReplaySource(candles)
    assert len(played.history()) == expected
    assert played.usual_start == candles.index[expected]


def test_before_a_listing_a_source_is_asked_once(btc: Symbol):
    source = Fives(fives(700))
    first_poll(btc, source)
    assert len(source.asked) == 2


def test_a_series_of_hours_is_topped_up_to_a_thousand(btc: Symbol):
    hours = random_candles(1200).set_index(pd.date_range(end=END - 12 * 5 * MINUTE, periods=1200, freq="h", unit="us"))
    store_candles(btc, "1h", hours.iloc[-800:], "bybit")
    assert top_up(btc, "1h", KnownSource(hours), END) == 200
    assert is_stored(btc, hours.iloc[-1000:], "1h")
