from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from backtests.options import InstrumentSource, Model, Options, OptionsError, StopFill, parse, parse_speed, spell
from engine.orders import Instrument
from engine.terms import Limits
from tests.backtests.runs import options


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("start", "2024-11-01", datetime(2024, 11, 1, tzinfo=UTC)),
        ("end", "2024-11-01", datetime(2024, 11, 1, 23, 59, 59, 999999, tzinfo=UTC)),
        ("end", "2024-11-01T09:30", datetime(2024, 11, 1, 9, 30, tzinfo=UTC)),
        ("start", "2024-11-01T09:30:00+02:00", datetime(2024, 11, 1, 7, 30, tzinfo=UTC)),
        ("start", "2024-11-01T09:30:00Z", datetime(2024, 11, 1, 9, 30, tzinfo=UTC)),
        ("model", "gradient_boosting", Model.GRADIENT_BOOSTING),
        ("initial_balance", " 2500.50 ", Decimal("2500.50")),
        ("fee_rate", "0", Decimal(0)),
        ("fee_rate", "1e-3", Decimal("0.001")),
        ("retrain_every", "0", 0),
        ("stop_loss", "0", None),
        ("take_profit", "none", None),
        ("trailing_stop", "0.05", 0.05),
        ("quantity", "0.5", Decimal("0.5")),
        ("confidence", "1", 1.0),
        ("max_open_positions", "0", 0),
        ("max_exposure", "0.75", Decimal("0.75")),
        ("max_daily_loss", "0.02", Decimal("0.02")),
        ("max_drawdown", "1", Decimal(1)),
        ("max_entries_per_day", "12", 12),
        ("stop_fill", "low", StopFill.LOW),
        ("instrument", "stored", InstrumentSource.STORED),
    ],
)
def test_a_text_becomes_a_value(name: str, text: str, value: Any):
    assert getattr(parse({name: text}, symbol="BTCUSDT", interval="1h"), name) == value


BAD_NUMBERS = ["", "NaN", "nan", "inf", "-inf", "1e400", "1e99999", "abc", "1_000", "1,000", "0x10", "--1", "٣"]


@pytest.mark.parametrize("text", [*BAD_NUMBERS, "-1"])
@pytest.mark.parametrize(
    "name",
    ["initial_balance", "confidence", "retrain_every", "fee_rate", "slippage", "seed", "stop_loss", "take_profit",
     "trailing_stop", "max_position", "quantity", "max_open_positions", "max_exposure", "max_daily_loss",
     "max_drawdown", "max_entries_per_day"],
)  # fmt: skip
def test_what_is_no_usable_number_is_refused_in_one_line(name: str, text: str):
    with pytest.raises(OptionsError) as refusal:
        parse({name: text}, symbol="BTCUSDT", interval="1h")
    assert name.replace("_", " ") in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("initial_balance", "0"),
        ("initial_balance", "1e10"),
        ("confidence", "1.01"),
        ("fee_rate", "1"),
        ("slippage", "1.5"),
        ("stop_loss", "3"),
        ("trailing_stop", "1"),
        ("take_profit", "101"),
        ("max_position", "0"),
        ("max_position", "1.0001"),
        ("quantity", "0"),
        ("seed", "4294967296"),
        ("seed", "1.5"),
        ("model", "oracle"),
        ("stop_fill", "high"),
        ("instrument", "guessed"),
        ("max_open_positions", "1.5"),
        ("max_open_positions", "1000001"),
        ("max_exposure", "0"),
        ("max_exposure", "1.01"),
        ("max_daily_loss", "0"),
        ("max_drawdown", "2"),
        ("max_entries_per_day", "-1"),
        ("start", "2024-02-30"),
        ("start", "yesterday"),
        ("end", "20241101T"),
        ("start", "0001-01-01T00:00+23:59"),
    ],
)
def test_what_is_out_of_range_is_refused(name: str, text: str):
    with pytest.raises(OptionsError):
        parse({name: text}, symbol="BTCUSDT", interval="1h")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interval": "7m"}, "unknown interval"),
        ({"initial_balance": Decimal("NaN")}, "initial balance"),
        ({"max_position": Decimal("NaN")}, "max position"),
        ({"fee_rate": Decimal("Infinity")}, "fee rate"),
        ({"stop_loss": float("nan")}, "stop loss"),
        (
            {"start": datetime(2024, 2, 1, tzinfo=UTC), "end": datetime(2024, 1, 1, tzinfo=UTC)},
            "the start 2024-02-01 is after the end 2024-01-01",
        ),
    ],
)
def test_options_check_themselves_however_they_are_made(changes: dict[str, Any], words: str):
    with pytest.raises(OptionsError, match=words):
        options(**changes)


@pytest.mark.parametrize("text", [*BAD_NUMBERS, "-0.1", "3601"])
def test_a_speed_that_cannot_be_waited_for_is_refused(text: str):
    with pytest.raises(OptionsError, match="speed"):
        parse_speed(text)


def test_stored_options_give_the_same_options_again():
    known = parse(
        {"start": "2024-01-01", "end": "2024-02-01", "stop_loss": "0", "quantity": "0.10", "retrain_every": "7"},
        symbol="BTCUSDT",
        interval="1h",
        label_threshold=0.004,
    )
    assert Options.from_json(known.as_json()) == known
    limited = options(symbol="B,A", max_open_positions=2, max_exposure=Decimal("0.5"), stop_fill="low")
    assert Options.from_json(limited.as_json()) == limited


def test_options_stored_before_there_were_limits_have_the_defaults():
    stored = options().as_json()
    for name in ("max_open_positions", "max_exposure", "max_daily_loss", "max_drawdown", "max_entries_per_day",
                 "stop_fill", "instrument"):  # fmt: skip
        del stored[name]
    assert Options.from_json(stored) == options()


def test_the_limits_and_the_fill_of_stops_reach_the_rules():
    chosen = options(
        max_open_positions=2, max_exposure=Decimal("0.6"), max_daily_loss=Decimal("0.02"), max_drawdown=Decimal("0.1"),
        max_entries_per_day=3, stop_fill=StopFill.LOW,
    )  # fmt: skip
    rules = chosen.rules(Instrument("BTCUSDT"))
    assert rules.limits == Limits(
        Decimal("0.25"), Decimal("0.6"), Decimal("0.02"), Decimal("0.1"), max_entries_per_day=3, max_open_positions=2
    )
    assert rules.policy.stop_fills_at_low
    assert not options().rules(Instrument("BTCUSDT")).policy.stop_fills_at_low


def test_the_rules_hold_what_the_options_say():
    rules = options(max_position=Decimal("0.5"), stop_loss=None, confidence=0.4, fee_rate=Decimal(0)).rules(
        Instrument("BTCUSDT")
    )
    assert (rules.policy.max_position, rules.limits.max_position) == (0.5, Decimal("0.5"))
    assert (rules.policy.stop_loss, rules.policy.confidence_threshold, rules.costs.fee_rate) == (None, 0.4, 0)


@pytest.mark.parametrize(
    ("chosen", "history", "between"), [(None, 716, 250), (None, 8000, 1000), (0, 8000, 0), (5, 8000, 5)]
)
def test_without_an_order_training_is_repeated_when_history_has_grown(chosen: int | None, history: int, between: int):
    assert options(retrain_every=chosen).candles_between_trainings(history) == between


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02"),
        (datetime(2024, 1, 2, 23, 59, 59, 999999, tzinfo=UTC), "2024-01-02"),
        (datetime(2024, 1, 2, 3, 4, tzinfo=UTC), "2024-01-02 03:04"),
    ],
)
def test_moments_are_spelt_as_short_as_they_can_be(moment: datetime, words: str):
    assert spell(moment) == words
