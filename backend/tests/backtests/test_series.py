from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backtests.options import OptionsError, parse
from backtests.series import PriceHistory, cut
from tests.backtests.runs import cent_candles

# Hourly candles from 2024-01-01 00:00 to 2024-01-25 23:00.
CANDLES = cent_candles(600)
FILE = Path("BTCUSDT_1h.csv")
LATER = datetime(2025, 1, 1, tzinfo=UTC)


def series(now: datetime = LATER, model: str = "sma_cross", **texts: str) -> PriceHistory:
    return cut(CANDLES, parse({"model": model, **texts}, symbol="BTCUSDT", interval="1h"), FILE, now)


def hours(found: PriceHistory) -> tuple[str, str]:
    index = found.tested.index
    return f"{index[0]:%m-%d %H}", f"{index[-1]:%m-%d %H}"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2024-01-10", "2024-01-11", ("01-10 00", "01-11 23")),
        ("2024-01-10", "2024-01-10", ("01-10 00", "01-10 23")),
        ("2024-01-10T05:00", "2024-01-10T07:00", ("01-10 05", "01-10 07")),
        ("2024-01-10T05:01", "2024-01-10T07:59", ("01-10 06", "01-10 07")),
        ("2024-01-10T05:00+05:00", "2024-01-10T07:00+05:00", ("01-10 00", "01-10 02")),
        ("2024-01-01", "2024-01-25", ("01-01 00", "01-25 23")),
    ],
)
def test_a_range_holds_its_first_and_its_last_day(start: str, end: str, expected: tuple[str, str]):
    found = series(start=start, end=end)
    assert hours(found) == expected
    assert found.notices == ()


def test_the_end_cuts_the_future_away_and_the_start_keeps_the_past():
    found = series(start="2024-01-10", end="2024-01-11")
    assert found.candles.index[0] == CANDLES.index[0]
    assert found.candles.index[-1] == found.tested.index[-1]


@pytest.mark.parametrize(("model", "start"), [("random_forest", 200), ("gradient_boosting", 200), ("sma_cross", 0)])
def test_without_a_start_a_third_is_history_where_a_model_needs_it(model: str, start: int):
    assert series(model=model).start == start


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"start": "1990-01-01"}, "the start 1990-01-01 is before the first candle"),
        ({"end": "2030-01-01"}, "the end 2030-01-01 is after the last candle"),
        ({"start": "1990-01-01", "end": "1991-01-01"}, "the start 1990-01-01 is before"),
        ({"start": "2024-01-27", "end": "2024-01-28"}, "no candle between 2024-01-27 and 2024-01-28"),
        ({"end": "2023-12-31"}, "no candle between the beginning and 2023-12-31"),
        ({"start": "2024-01-10T05:10", "end": "2024-01-10T05:20"}, "no candle between 2024-01-10 05:10"),
        ({"model": "random_forest", "start": "2024-01-01"}, "a model needs candles before 2024-01-01"),
    ],
)
def test_a_range_without_candles_names_what_the_file_covers(texts: dict[str, str], words: str):
    with pytest.raises(OptionsError) as refusal:
        series(**texts)
    assert words in str(refusal.value)
    assert "BTCUSDT_1h.csv covers 2024-01-01 to 2024-01-25 23:00 UTC" in str(refusal.value)


def test_a_range_that_sticks_out_by_a_weekend_is_cut_and_said_so():
    found = series(start="2023-12-30", end="2024-01-28")
    assert hours(found) == ("01-01 00", "01-25 23")
    assert [notice.split(":")[0] for notice in found.notices] == [
        "the start 2023-12-30 is before the first candle",
        "the end 2024-01-28 is after the last candle",
    ]


def test_a_candle_that_is_still_open_is_left_out():
    closes = CANDLES.index[-1].to_pydatetime() + timedelta(hours=1)
    assert len(series(now=closes).candles) == 600
    assert len(series(now=closes - timedelta(seconds=1)).candles) == 599


def test_a_file_from_the_future_holds_nothing():
    with pytest.raises(OptionsError, match="no candle that has closed"):
        series(now=datetime(2020, 1, 1, tzinfo=UTC))


def test_the_tick_is_looked_for_in_what_was_known_at_the_first_decision():
    assert len(series().known) == 50
    assert series(start="2024-01-10").known.index[-1] == series(start="2024-01-10").tested.index[0]
