import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analysis import ANALYSIS
from engine.candles import COLUMNS, INTERVALS
from engine.indicators import INDICATORS
from engine.snapshot import MARKET_COLUMNS, Snapshot, SnapshotError, market_frame, snapshot_at
from tests.markets import random_candles

# The keys of the MARKET_SNAPSHOT in the specification; more may stand beside them.
SPECIFIED = {
    "timestamp": str,
    "ticker": str,
    "ohlcv": {"open": float, "high": float, "low": float, "close": float, "volume": float},
    "indicators": {
        "sma10": float,
        "sma20": float,
        "rsi14": float,
        "macd": float,
        "macd_hist": float,
        "volatility": float,
    },
    "analysis": {"trend": str, "strength": float, "signals": {"rsi_state": str, "sma_cross": int}},
}

MARKET = market_frame(random_candles(80))


def snapshot(row: int = 60) -> Snapshot:
    found = snapshot_at(MARKET, row, "BTCUSDT", "1h")
    assert found is not None
    return found


def changed(**values: float) -> dict[str, float]:
    return {**snapshot().values, **values}


def assert_holds(payload: Any, shape: Any) -> None:
    if isinstance(shape, type):
        assert type(payload) is shape
        return
    for key, part in shape.items():
        assert_holds(payload[key], part)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    number = st.floats(allow_nan=False, allow_infinity=False)
    values = {name: draw(number) for name in MARKET_COLUMNS}
    values |= {name: draw(st.sampled_from([-1.0, 0.0, 1.0])) for name in ("trend", "rsi_state", "sma_cross")}
    times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    return Snapshot(draw(st.text(min_size=1)), draw(st.sampled_from(list(INTERVALS))), draw(times), values)


def test_the_payload_has_the_keys_of_the_specification():
    payload = snapshot().to_json()
    assert_holds(payload, SPECIFIED)
    assert set(payload) == set(SPECIFIED) | {"interval"}
    assert set(payload["indicators"]) == set(INDICATORS)
    assert set(payload["analysis"]) == set(SPECIFIED["analysis"])


def test_the_payload_is_named_by_the_close_of_its_candle():
    payload = snapshot(60).to_json()
    assert MARKET.index[60].isoformat() == "2024-01-03T12:00:00+00:00"
    assert (payload["timestamp"], payload["ticker"], payload["interval"]) == ("2024-01-03T13:00:00Z", "BTCUSDT", "1h")


def test_the_payload_spells_states_in_words():
    values = changed(trend=-1.0, rsi_state=1.0, sma_cross=-1.0)
    view = Snapshot("X", "1h", snapshot().open_time, values).to_json()["analysis"]
    assert (view["trend"], view["signals"]) == ("bear", {"rsi_state": "overbought", "sma_cross": -1})


@given(snapshots())
def test_json_keeps_every_bit(one: Snapshot):
    again = Snapshot.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False)))
    assert again == one
    assert [value.hex() for value in again.values.values()] == [value.hex() for value in one.values.values()]


def test_there_is_no_snapshot_while_an_indicator_warms_up():
    assert [snapshot_at(MARKET, row, "X", "1h") is None for row in (0, 48, 49, 79)] == [True, True, False, False]


def test_a_snapshot_holds_the_row_of_the_market():
    assert list(snapshot(60).values.values()) == MARKET.iloc[60].tolist()
    assert (*COLUMNS, *INDICATORS, *ANALYSIS) == MARKET_COLUMNS


def test_it_refuses_a_naive_datetime():
    with pytest.raises(ValueError, match="aware"):
        Snapshot("X", "1h", datetime(2024, 1, 1), snapshot().values)  # noqa: DTZ001


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["close", "rsi14", "strength"])
def test_it_refuses_a_value_that_is_not_finite(name: str, bad: float):
    with pytest.raises(ValueError, match="finite"):
        Snapshot("X", "1h", snapshot().open_time, changed(**{name: bad}))


@pytest.mark.parametrize("name", ["trend", "rsi_state", "sma_cross"])
def test_it_refuses_a_state_between_two_states(name: str):
    with pytest.raises(ValueError, match="-1, 0 or 1"):
        Snapshot("X", "1h", snapshot().open_time, changed(**{name: 0.5}))


def test_it_refuses_other_values_than_the_market_columns():
    values = dict(snapshot().values)
    for wrong in ({**values, "more": 1.0}, dict(list(values.items())[:-1]), dict(reversed(values.items()))):
        with pytest.raises(ValueError, match="needs the values"):
            Snapshot("X", "1h", snapshot().open_time, wrong)


def without(payload: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    return replaced(payload, path, None, drop=True)


def replaced(payload: dict[str, Any], path: tuple[str, ...], value: Any, drop: bool = False) -> dict[str, Any]:
    """A copy of the payload with another value at the path, or with nothing there."""
    copy = json.loads(json.dumps(payload))
    place = copy
    for key in path[:-1]:
        place = place[key]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


def paths(shape: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, part in shape.items():
        found.append((*before, key))
        if isinstance(part, dict):
            found += paths(part, (*before, key))
    return found


@pytest.mark.parametrize("path", paths(snapshot().to_json()), ids=".".join)
def test_a_payload_without_a_key_is_refused(path: tuple[str, ...]):
    with pytest.raises(SnapshotError):
        Snapshot.from_json(without(snapshot().to_json(), path))


@pytest.mark.parametrize("path", paths(snapshot().to_json()), ids=".".join)
@pytest.mark.parametrize(
    "value",
    [None, [], {}, "", "12", "nonsense", float("nan"), float("inf"), 10**400, True],
    ids=["null", "list", "object", "empty", "digits", "word", "nan", "infinity", "huge", "true"],
)
def test_whatever_stands_in_a_payload_it_is_refused_or_keeps_its_word(path: tuple[str, ...], value: Any):
    payload = replaced(snapshot().to_json(), path, value)
    if path == ("ticker",) and value in ("12", "nonsense"):
        assert Snapshot.from_json(payload).symbol == value
        return
    with pytest.raises(SnapshotError):
        Snapshot.from_json(payload)


@pytest.mark.parametrize("payload", [None, [], "x", 3, {}, {"analysis": []}])
def test_what_is_no_payload_is_refused(payload: Any):
    with pytest.raises(SnapshotError):
        Snapshot.from_json(payload)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("timestamp",), "2024-01-03T13:00:00"),
        (("timestamp",), "2024-01-03T13:00:00+01:00"),
        (("timestamp",), "0001-01-01T00:00:00Z"),
        (("interval",), "7m"),
        (("analysis", "trend"), "up"),
        (("analysis", "signals", "sma_cross"), 2),
        (("analysis", "signals", "sma_cross"), 0.5),
        (("ticker",), 7),
        (("ticker",), ""),
    ],
)
def test_a_malformed_payload_is_refused(path: tuple[str, ...], value: Any):
    with pytest.raises(SnapshotError):
        Snapshot.from_json(replaced(snapshot().to_json(), path, value))
