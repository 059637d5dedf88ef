"""The compiled loops: the same to the last digit, and a file of machine code that is never believed blindly."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backtests import compiled
from engine.history import Columns, Machine, Played, Series, _end_to_end, simulate
from engine.orders import Instrument
from engine.terms import Costs, Limits, Policy, Rules

pytestmark = pytest.mark.slow
INT32 = np.dtype(np.int32)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return compiled._machine("int32")


def series(symbol: str, seed: int, rows: int, policy: Policy, limits: Limits) -> Series:
    random = np.random.default_rng(seed)
    close = 10_000 + np.cumsum(random.integers(-200, 201, rows))
    opened = np.concatenate([close[:1], close[:-1] + random.integers(-50, 51, rows - 1)])
    high = np.maximum(opened, close) + random.integers(0, 100, rows)
    low = np.minimum(opened, close) - random.integers(0, 100, rows)
    prices = (np.maximum(column, 1).astype(np.int32) for column in (opened, high, low, close))
    times = 60 * np.cumsum(random.integers(1, 4, rows), dtype=np.int64)
    rules = Rules(Instrument(symbol, lot_step=Decimal("0.001")), Costs(), policy, limits)
    actions = random.integers(-1, 3, rows).astype(np.int8)
    return Series(rules, 60, times, *prices, actions, random.uniform(0.3, 1, rows), random.uniform(0, 0.1, rows))


POLICIES = st.builds(
    Policy,
    stop_loss=st.sampled_from([None, 0.01, 0.05]),
    take_profit=st.sampled_from([None, 0.02]),
    trailing_stop=st.sampled_from([None, 0.015]),
    quantity=st.sampled_from([None, Decimal("1.5")]),
    stop_fills_at_low=st.booleans(),
)
LIMITS = st.builds(
    Limits,
    max_exposure=st.sampled_from([None, Decimal("0.6")]),
    max_daily_loss=st.sampled_from([None, Decimal("0.01")]),
    max_drawdown=st.sampled_from([None, Decimal("0.2")]),
    max_entries_per_day=st.sampled_from([None, 3]),
    max_open_positions=st.sampled_from([None, 1]),
)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 400), count=st.integers(1, 3), policy=POLICIES, limits=LIMITS
)
def test_compiled_and_plain_agree_to_the_last_digit(
    machine: Machine, seed: int, rows: int, count: int, policy: Policy, limits: Limits
):
    chosen = [series(f"S{k}", seed + k, rows, policy, limits) for k in range(count)]
    assert_same(simulate(chosen, 1_000_000), simulate(chosen, 1_000_000, compiled=machine))


def test_columns_that_lie_end_to_end_are_not_copied_and_play_the_same(machine: Machine):
    apart = [series(f"S{k}", k, 300, Policy(), Limits()) for k in range(3)]
    wholes = {name: np.concatenate([getattr(one, name) for one in apart]) for name in Columns._fields[1:]}
    parts = {name: np.split(whole, [300, 600]) for name, whole in wholes.items()}
    joined = [
        replace(one, **{name: columns[k] for name, columns in parts.items()}) for k, one in enumerate(apart)
    ]  # fmt: skip
    for chosen in (joined, joined[::-1], [joined[0], joined[2]]):
        copied = [replace(one, **{name: getattr(one, name).copy() for name in wholes}) for one in chosen]
        assert_same(simulate(copied, 1_000_000), simulate(chosen, 1_000_000, compiled=machine))
    assert all(_end_to_end(columns) is wholes[name] for name, columns in parts.items())


def assert_same(plain: Played, native: Played) -> None:
    assert native.account == plain.account
    assert native.holdings == plain.holdings
    for name in ("steps", "equity", "positions", "outcomes", "fills"):
        assert getattr(native, name).tolist() == getattr(plain, name).tolist(), name


@pytest.fixture
def folder(tmp_path: Path, settings: object, monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Path:
    """A place of its own for machine code, and a compiler that copies instead."""
    code = compiled._read(compiled._path("int32"))
    settings.COMPILED_DIR = tmp_path / "compiled"
    monkeypatch.setattr(compiled, "_compiled", lambda prices: code)
    compiled._machine.cache_clear()
    yield settings.COMPILED_DIR
    compiled._machine.cache_clear()


def test_a_damaged_file_is_compiled_anew(folder: Path, capsys: pytest.CaptureFixture[str]):
    compiled._machine("int32")
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[:40], whole[:-1], whole[:200] + b"x" + whole[201:]):
        path.write_bytes(damaged)
        assert compiled._read(path) is None
        compiled._machine.cache_clear()
        compiled._machine("int32")
        assert path.read_bytes() == whole
    assert [file.name for file in folder.iterdir()] == [path.name]
    assert capsys.readouterr().err == 5 * "compiling the loops for long histories, once on this machine\n"


def test_a_file_that_is_there_is_loaded_and_nothing_is_said(folder: Path, capsys: pytest.CaptureFixture[str]):
    compiled._machine("int32")
    capsys.readouterr()
    compiled._machine.cache_clear()
    compiled._machine("int32")
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_to_costs_only_the_file(folder: Path):
    folder.write_text("a file")
    assert compiled._machine("int32") is not None


def test_a_changed_source_or_another_width_gives_another_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = compiled._path("int32")
    assert compiled._path("int64") != before
    changed = tmp_path / "fills.py"
    changed.write_text(Path(compiled.fills.__file__).read_text() + "\n# changed\n")
    monkeypatch.setattr(compiled.fills, "__file__", str(changed))
    assert compiled._path("int32") != before


def test_short_histories_and_wide_prices_are_left_to_python(folder: Path):
    assert compiled.machine_for(compiled.WORTH_LOADING - 1, INT32) is None
    assert compiled.machine_for(10**6, np.dtype(object)) is None
    # Without a file it takes more candles until compiling is worth it.
    assert compiled.machine_for(compiled.WORTH_COMPILING - 1, INT32) is None
    assert compiled.machine_for(compiled.WORTH_COMPILING, INT32) is not None
    compiled._machine.cache_clear()
    assert compiled.machine_for(compiled.WORTH_LOADING, INT32) is not None
