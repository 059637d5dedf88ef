import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from backtests import services
from backtests.models import BacktestRun, Status
from market.models import Symbol
from tests.backtests.runs import BACKEND, cent_candles, command, environment, in_process, read, write_csv

pytestmark = pytest.mark.django_db

SMA = ("--symbol", "BTCUSDT", "--interval", "1h", "--model", "sma_cross")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a data folder of its own."""
    write_csv(tmp_path, cent_candles(600, seed=1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(*arguments: str) -> str:
    output = io.StringIO()
    call_command("backtest_simulation", *arguments, stdout=output)
    return output.getvalue()


def run_recorded() -> BacktestRun:
    return BacktestRun.objects.get()


def test_a_run_is_recorded_as_its_document_tells_it(folder: Path):
    user = User.objects.create_user("trader@example.com", "secret")
    document = read(called(*SMA, "--email", "Trader@Example.com", "--json"))
    row = run_recorded()
    assert (row.user, row.status, row.progress, row.error) == (user, Status.DONE, 100, "")
    assert (row.symbol, row.interval, row.model, row.seed) == ("BTCUSDT", "1h", "sma_cross", 42)
    assert row.trades == document["trades"]
    assert row.metrics == document["metrics"]
    assert row.equity == document["equity"]
    assert {**row.summary, "metrics": row.metrics} == {
        name: value for name, value in document.items() if name not in ("trades", "equity")
    }


def test_json_is_one_object_and_nothing_else(folder: Path):
    finished = in_process(folder, *SMA, "--start-date", "2023-12-31", "--json", "--speed", "0.00001")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("\n") == 1
    assert read(finished.stdout)["candles"] == 600
    lines = finished.stderr.splitlines()
    assert sum("equity" in line for line in lines) == 600
    assert sum(line.startswith("note: the start 2023-12-31") for line in lines) == 1


def test_two_processes_print_the_same_bytes(folder: Path):
    arguments = ("--symbol", "BTCUSDT", "--interval", "1h", "--confidence", "0.4", "--retrain-every", "0", "--json")
    processes = [
        subprocess.Popen(command(folder, *arguments), cwd=folder, env={**environment(folder), "PYTHONHASHSEED": seed},
                         stdout=subprocess.PIPE)
        for seed in ("1", "2")
    ]  # fmt: skip
    one, other = (process.communicate(timeout=60)[0] for process in processes)
    assert one == other
    assert len(read(one.decode())["trades"]) > 0


def test_the_summary_is_for_people(folder: Path):
    text = called(*SMA, "--report", "page.html")
    for words in (
        "BTCUSDT 1h, SMA 10/50 cross", "Return", "Buy-and-hold return", "Sharpe ratio", "Largest drawdown",
        "Profit factor", "Commissions paid", "Out-of-sample accuracy", "always the majority class", "BUY",
        "position_open",        "The report is page.html", f"Recorded as run {run_recorded().pk}",
    ):  # fmt: skip
        assert words in text
    assert "\x1b" not in text
    assert (folder / "page.html").read_text().startswith("<!doctype html>")


BAD = {
    "unknown user": ["--email", "nobody@example.com"],
    "unknown file": ["--symbol", "ETHUSDT"],
    "no symbol": ["--symbol", "../../x"],
    "unknown interval": ["--interval", "7m"],
    "unknown model": ["--model", "oracle"],
    "no candles": ["--start-date", "2024-01-27"],
    "far away": ["--start-date", "1990-01-01"],
    "backwards": ["--start-date", "2024-01-09", "--end-date", "2024-01-08"],
    "no history": ["--model", "random_forest", "--start-date", "2024-01-01"],
    "little history": ["--model", "random_forest", "--start-date", "2024-01-03"],
    "balance": ["--initial-balance", "0"],
    "too fine a balance": ["--initial-balance", "100.001"],
    "speed": ["--speed=-1"],
    "infinite speed": ["--speed", "inf"],
    "folder of the report": ["--report", "missing/page.html"],
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_writes_nothing(folder: Path, arguments: list[str]):
    before = sorted(folder.rglob("*"))
    with pytest.raises(CommandError) as refusal:
        called(*SMA, "--report", "page.html", *arguments)
    assert "\n" not in str(refusal.value)
    assert sorted(folder.rglob("*")) == before
    assert not BacktestRun.objects.exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2024-02-01T00:00:00Z,1,2,0.5,nan,1", "line 602"),
        ("2024-02-01T00:00:00Z,1,0.5,2,1,1", "line 602"),
        ("2024-01-01T00:00:00Z,1,1,1,1,1", "line 602"),
        ("not a time,1,1,1,1,1", "line 602"),
        ("2024-02-01T00:00:00Z,1e-9,1e-9,1e-9,1e-9,1", "prices from 1e-09"),
        ("2024-02-01T00:00:00Z,1e15,1e15,1e15,1e15,1", "prices from"),
    ],
)
def test_candles_that_must_not_be_traded_on_leave_nothing_written(folder: Path, line: str, words: str):
    with (folder / "data" / "BTCUSDT_1h.csv").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(CommandError, match=words):
        called(*SMA, "--report", "page.html")
    assert not (folder / "page.html").exists()
    assert not BacktestRun.objects.exists()


def test_errors_before_a_training_do_not_load_what_trains_or_draws(folder: Path):
    script = (
        "import sys; from django.core.management import execute_from_command_line as run\n"
        "try: run(['manage.py', 'backtest_simulation', *sys.argv[1:]])\n"
        "except SystemExit as ended: code = ended.code\n"
        "print(code, [name for name in ('sklearn', 'plotly', 'rich', 'scipy') if name in sys.modules])"
    )
    variables = {**environment(folder), "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": str(BACKEND)}
    for arguments, expected in ((["--help"], "0 []"), (["--seed", "x"], "1 []"), (["--nonsense"], "2 []")):
        finished = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env=variables,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.stdout.splitlines()[-1] == expected
        assert len(finished.stderr.splitlines()) == (arguments != ["--help"])


def test_control_c_is_recorded_and_says_so_in_one_line(folder: Path):
    process = subprocess.Popen(
        [sys.executable, "-u", *command(folder, *SMA, "--speed", "5", "--report", "page.html")[1:]],
        cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "warming up" in process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == "interrupted; run 1 is recorded as cancelled\n"
    assert not (folder / "page.html").exists()


def test_an_interrupted_training_leaves_a_cancelled_run(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(services, "simulate", interrupt)
    with pytest.raises(SystemExit) as ended:
        called(*SMA)
    assert ended.value.code == 130
    row = run_recorded()
    assert (row.status, row.trades, row.finished is not None) == (Status.CANCELLED, None, True)


def test_a_report_that_fails_at_the_end_is_a_failed_run(folder: Path, monkeypatch: pytest.MonkeyPatch):
    real = services.simulate

    def then_the_folder_goes(*args: Any) -> Any:
        found = real(*args)
        (folder / "pages").rmdir()
        return found

    (folder / "pages").mkdir()
    monkeypatch.setattr(services, "simulate", then_the_folder_goes)
    with pytest.raises(CommandError, match="cannot be written"):
        called(*SMA, "--report", "pages/page.html")
    assert (run_recorded().status, "cannot be written" in run_recorded().error) == (Status.FAILED, True)


THREE = ("--symbol", "CCCUSDT,AAAUSDT,BBBUSDT", "--interval", "1h", "--model", "sma_cross")


def test_three_symbols_share_an_account(folder: Path):
    for seed, name in enumerate(("AAAUSDT", "BBBUSDT", "CCCUSDT")):
        write_csv(folder, cent_candles(600, seed=seed), f"{name}_1h.csv")
    document = read(called(*THREE, "--max-open-positions", "2", "--report", "page.html", "--json"))
    row = run_recorded()
    assert row.symbol == document["symbol"] == "AAAUSDT,BBBUSDT,CCCUSDT"
    assert row.trades == document["trades"]
    assert {trade["symbol"] for trade in row.trades} == set(document["symbols"])
    assert row.options["max_open_positions"] == 2
    assert "at most 2 open positions" in (folder / "page.html").read_text()


def test_a_missing_or_broken_file_of_one_symbol_is_named(folder: Path):
    for name in ("AAAUSDT", "CCCUSDT"):
        write_csv(folder, cent_candles(600), f"{name}_1h.csv")
    with pytest.raises(CommandError, match="no candle file for BBBUSDT 1h"):
        called(*THREE)
    write_csv(folder, cent_candles(600), "BBBUSDT_1h.csv").write_text(
        "timestamp,open,high,low,close,volume\nx,1,1,1,1,1\n"
    )
    with pytest.raises(CommandError, match=r"BBBUSDT_1h\.csv, line 2"):
        called(*THREE)
    assert not BacktestRun.objects.exists()


def test_a_result_does_not_depend_on_what_the_database_knows_of_a_symbol(folder: Path):
    before = called(*SMA, "--json")
    stored = Symbol.objects.create(
        symbol="BTCUSDT",
        kind="crypto",
        price_tick=Decimal("0.5"),
        lot_step=Decimal("0.1"),
        minimum_notional=Decimal(50),
    )
    assert called(*SMA, "--json") == before
    document = read(called(*SMA, "--instrument", "stored", "--json"))
    facts = document["instruments"][0]["instrument"]
    assert facts == {
        "price_tick": Decimal("0.5"), "lot_step": Decimal("0.1"), "minimum_notional": 50, "money_step": Decimal("0.01"),
        "source": "stored",
    }  # fmt: skip
    assert BacktestRun.objects.order_by("pk").last().options["instruments"] == {"BTCUSDT": facts}
    assert all(trade["price"] % Decimal("0.5") == 0 for trade in document["trades"])
    stored.delete()
    with pytest.raises(CommandError, match="the symbol BTCUSDT is not stored"):
        called(*SMA, "--instrument", "stored")


def test_a_stop_that_fills_at_the_low_is_never_better(folder: Path):
    levels = ("--stop-loss", "0.01", "--take-profit", "0")
    at_level, at_low = (read(called(*SMA, *levels, "--stop-fill", fill, "--json")) for fill in ("level", "low"))
    first = [
        next(trade for trade in document["trades"] if trade["reason"] == "stop_loss") for document in (at_level, at_low)
    ]
    assert first[0]["time"] == first[1]["time"]
    assert first[0]["price"] >= first[1]["price"]
    assert at_level["final_equity"] >= at_low["final_equity"]


def test_a_rule_on_a_short_history_loads_neither_what_learns_nor_what_compiles(folder: Path):
    script = (
        "import sys; from django.core.management import execute_from_command_line as run\n"
        "run(['manage.py', 'backtest_simulation', *sys.argv[1:]])\n"
        "print([name for name in ('sklearn', 'plotly', 'rich', 'scipy', 'numba', 'llvmlite', 'exchange_calendars')"
        " if name in sys.modules])"
    )
    variables = {**environment(folder), "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": str(BACKEND)}
    finished = subprocess.run(
        [sys.executable, "-c", script, *SMA], env=variables, cwd=folder, capture_output=True, text=True, check=True
    )
    assert finished.stdout.splitlines()[-1] == "[]"


def test_pacing_tells_every_candle(folder: Path):
    text = called(*SMA, "--start-date", "2024-01-10", "--end-date", "2024-01-10", "--speed", "0.00001")
    lines = [line for line in text.splitlines() if line.startswith("2024-01-10T")]
    assert len(lines) == 24
    assert all("close" in line and "equity" in line for line in lines)
    assert any("->" in line for line in lines)
