"""The command names each input, passes what is honest, and fails where something knows the future."""

from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from engine.features import FEATURES, FeatureForm
from learning.management.commands import check_leakage
from learning.scores import leakage
from learning.scores.leakage import feature_columns
from market.models import Symbol
from market.services import add_symbol, store_candles
from market.sources import csv_file
from tests.markets import random_candles

pytestmark = pytest.mark.django_db
CANDLES = random_candles(600)
UNDECIDED, LEAKS = check_leakage.UNDECIDED, check_leakage.LEAKS


@pytest.fixture
def btc() -> Symbol:
    symbol = add_symbol("BTCUSDT")
    store_candles(symbol, "1h", CANDLES, "test")
    return symbol


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No candle files but those that a test writes."""
    monkeypatch.setattr(csv_file, "data_folders", lambda: [tmp_path])
    return tmp_path


def check(symbol: str = "BTCUSDT", interval: str = "1h", **options: object) -> None:
    call_command("check_leakage", symbol=symbol, interval=interval, **options)


def refused(**options: object) -> CommandError:
    with pytest.raises(CommandError) as refusal:
        check(**options)
    return refusal.value


def verdicts(told: str) -> dict[str, str]:
    """What was said of each column."""
    lines = [line.split(maxsplit=1) for line in told.splitlines() if line.startswith("  ")]
    return {name: said for name, said in lines}


def column(folder: Path, values: pd.Series, name: str = "tip") -> Path:
    path = folder / f"{name}.csv"
    values.rename(name).rename_axis("timestamp").to_csv(path)
    return path


@pytest.mark.parametrize("form", ["stationary", "classic"])
def test_each_of_the_14_features_has_its_line(btc: Symbol, form: str, capsys: pytest.CaptureFixture):
    check(form=form)
    told = capsys.readouterr().out
    assert told.startswith("BTCUSDT 1h, stored: 600 candles, 2024-01-01 00:00:00+00:00 to ")
    assert list(verdicts(told)) == list(FEATURES)
    areas = [f"AUC {one.area:.2f}" for one in leakage.verdicts(feature_columns(FeatureForm(form)), CANDLES)]
    assert all(area in said for area, said in zip(areas, verdicts(told).values(), strict=True))
    assert all(said.startswith("passes: unchanged by later candles; AUC 0.") for said in verdicts(told).values())
    assert told.endswith("None of 14 uses future data.\n")


def test_a_feature_that_knows_the_future_is_named_and_ends_with_1(
    btc: Symbol, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    honest = check_leakage.feature_columns

    def leaking(form):
        return lambda candles: honest(form)(candles).assign(macd=candles["close"].shift(-1))

    monkeypatch.setattr(check_leakage, "feature_columns", leaking)
    refusal = refused()
    assert (str(refusal), refusal.returncode) == ("1 of 14 use future data: macd", LEAKS)
    said = verdicts(capsys.readouterr().out)
    assert [name for name in said if said[name].startswith("LEAKS: its value at ")] == ["macd"]


def test_planted_columns_show_that_it_can_fail(btc: Symbol, capsys: pytest.CaptureFixture):
    refusal = refused(plant=True)
    assert str(refusal) == "2 of 16 use future data: planted_computed, planted_looked_up"
    assert refusal.returncode == LEAKS
    said = verdicts(capsys.readouterr().out)
    assert "changes when all after" in said["planted_computed"]
    assert "too well (AUC 1.00)" in said["planted_looked_up"]


def test_a_planted_column_that_is_not_caught_is_no_pass(btc: Symbol):
    refusal = refused(plant=True, history=90)
    assert (str(refusal), refusal.returncode) == (
        "a planted column was not found: too few candles",
        UNDECIDED,
    )


def test_columns_of_files_are_checked_beside_the_14(btc: Symbol, tmp_path: Path, capsys: pytest.CaptureFixture):
    moon = column(tmp_path, random_candles(600, seed=9)["close"].set_axis(CANDLES.index), "moon")
    check(column=[moon])
    assert verdicts(capsys.readouterr().out)["moon"].startswith("passes: AUC 0.")
    tip = column(tmp_path, CANDLES["close"].shift(-1).dropna())
    refusal = refused(column=[moon, tip])
    assert (str(refusal), refusal.returncode) == ("1 of 16 use future data: tip", LEAKS)


def test_a_column_that_too_few_moves_follow_is_not_passed(btc: Symbol, tmp_path: Path, capsys: pytest.CaptureFixture):
    refusal = refused(column=[column(tmp_path, CANDLES["close"].iloc[-80:])])
    assert (str(refusal), refusal.returncode) == ("too few moves to check tip", UNDECIDED)
    assert verdicts(capsys.readouterr().out)["tip"] == "undecided: too few moves to check"


def test_without_stored_candles_the_file_is_read(tmp_path: Path, capsys: pytest.CaptureFixture):
    CANDLES.rename_axis("timestamp").to_csv(tmp_path / "ETHUSDT_1h.csv")
    check("ETHUSDT")
    assert capsys.readouterr().out.startswith("ETHUSDT 1h, ETHUSDT_1h.csv: 600 candles")


def test_the_file_is_read_where_it_is_asked_for(btc: Symbol, tmp_path: Path, capsys: pytest.CaptureFixture):
    CANDLES.iloc[:300].rename_axis("timestamp").to_csv(tmp_path / "BTCUSDT_1h.csv")
    check(candles="csv", history=250)
    assert capsys.readouterr().out.startswith("BTCUSDT 1h, BTCUSDT_1h.csv: 250 candles")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"symbol": "no symbol"}, "no symbol"),
        ({"symbol": "ETHUSDT"}, "ETHUSDT"),
        ({"symbol": "ETHUSDT", "candles": "stored"}, "no 1h candles of ETHUSDT are stored"),
        ({"history": 20}, "without a number"),
        ({"history": 0}, "--history counts candles"),
        ({"column": [Path("missing.csv")]}, "missing.csv: not a column of times and columns of numbers"),
    ],
)
def test_what_cannot_be_told_ends_with_2(btc: Symbol, given: dict[str, object], told: str):
    refusal = refused(**given)
    assert told in str(refusal)
    assert refusal.returncode == UNDECIDED


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("timestamp,tip\n2024-01-01T00:00:00Z,high\n", "columns of numbers"),
        ("timestamp,tip\nyesterday,1\n", "columns of numbers"),
        ("timestamp,tip\n2024-01-01T00:00:00Z,1\n2024-01-01T00:00:00Z,2\n", "a time occurs twice"),
        ("timestamp\n2024-01-01T00:00:00Z\n", "no column of values"),
        ("timestamp,tip\n1999-01-01T00:00:00Z,1\n", "without a number: tip"),
        ("timestamp,close\n2024-01-01T00:00:00Z,1\n", "two columns of the same name: close"),
    ],
)
def test_a_file_that_is_no_column_is_refused(btc: Symbol, tmp_path: Path, content: str, told: str):
    path = tmp_path / "tip.csv"
    path.write_text(content)
    refusal = refused(column=[path])
    assert told in str(refusal)
    assert refusal.returncode == UNDECIDED
