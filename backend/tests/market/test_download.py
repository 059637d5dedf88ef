import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from market.errors import SourceDown
from market.ingestion import download as downloads
from market.ingestion.download import Download, DownloadError, _plain
from market.sources import choice, csv_file
from tests.market.known_source import KnownSource
from tests.market.servers.bybit import BybitServer
from tests.market.servers.series import Series
from tests.markets import random_candles

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TRUTH = random_candles(500)
TRUTH.index = TRUTH.index.as_unit("us").rename("open_time")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(downloads, "CHUNK_CANDLES", 50)


def of(source: KnownSource, folder: Path, first: int = 0, end: int = 500) -> Download:
    return Download(source, "BTCUSDT", "1h", START + first * HOUR, START + end * HOUR, folder)


def read(folder: Path) -> pd.DataFrame:
    return csv_file.read(folder / "BTCUSDT_1h.csv", "1h")


def assert_is_truth(folder: Path, first: int = 0, end: int = 500) -> None:
    pd.testing.assert_frame_equal(read(folder), TRUTH.iloc[first:end], check_exact=True, check_freq=False)
    assert [file.name for file in folder.iterdir()] == ["BTCUSDT_1h.csv"]


def test_the_file_is_what_the_reader_reads_bit_by_bit(tmp_path: Path):
    reported: list[tuple[int, int]] = []
    done = of(KnownSource(TRUTH), tmp_path).run(lambda done, total: reported.append((done, total)))
    assert_is_truth(tmp_path)
    assert (done.path, len(done.candles), done.new) == (tmp_path / "BTCUSDT_1h.csv", 500, 500)
    assert reported == [(number, 500) for number in range(50, 501, 50)]


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path):
    class Fails(KnownSource):
        def candles(self, *arguments):
            if len(self.asked) == 4:
                raise SourceDown(self.name, "does not answer")
            return super().candles(*arguments)

    with pytest.raises(SourceDown):
        of(Fails(TRUTH), tmp_path).run()
    assert not (tmp_path / "BTCUSDT_1h.csv").exists()
    again = KnownSource(TRUTH)
    of(again, tmp_path).run()
    assert_is_truth(tmp_path)
    assert again.asked[0][0] == START + 200 * HOUR


def test_a_torn_line_is_asked_for_again(tmp_path: Path):
    of(KnownSource(TRUTH.iloc[:100]), tmp_path, end=100).run()
    content = (tmp_path / "BTCUSDT_1h.csv").read_bytes().split(b"\n", 1)[1]
    (tmp_path / "BTCUSDT_1h.csv").unlink()
    (tmp_path / ".BTCUSDT_1h.bybit.part").write_bytes(content[:-17])
    of(KnownSource(TRUTH), tmp_path).run()
    assert_is_truth(tmp_path)


@pytest.mark.parametrize(("first", "end"), [(100, 500), (0, 400), (100, 400)])
def test_a_file_is_extended_on_both_sides(tmp_path: Path, first: int, end: int):
    of(KnownSource(TRUTH), tmp_path, first, end).run()
    source = KnownSource(TRUTH)
    done = of(source, tmp_path).run()
    assert_is_truth(tmp_path)
    assert done.new == 500 - (end - first)
    assert sum((end - start) // HOUR for start, end in source.asked) == done.new + downloads.OVERLAP


def test_a_longer_period_after_an_interruption_asks_for_the_rest_only(tmp_path: Path):
    class Fails(KnownSource):
        def candles(self, *arguments):
            if len(self.asked) == 2:
                raise SourceDown(self.name, "does not answer")
            return super().candles(*arguments)

    with pytest.raises(SourceDown):
        of(Fails(TRUTH), tmp_path, 300).run()
    source = KnownSource(TRUTH)
    of(source, tmp_path).run()
    assert_is_truth(tmp_path)
    assert sum((end - start) // HOUR for start, end in source.asked) == 400


def test_a_source_that_has_changed_its_mind_stops_it_and_the_file_stays(tmp_path: Path):
    of(KnownSource(TRUTH), tmp_path, end=400).run()
    before = (tmp_path / "BTCUSDT_1h.csv").read_bytes()
    with pytest.raises(DownloadError, match=r"1 of its last 3 candles differ from what bybit reports now, the first"):
        of(KnownSource(TRUTH).with_closes(398, 7.0), tmp_path).run()
    assert (tmp_path / "BTCUSDT_1h.csv").read_bytes() == before


def test_two_at_a_time_do_not_write_one_file(tmp_path: Path):
    class Nested(KnownSource):
        def candles(self, *arguments):
            with pytest.raises(DownloadError, match="by another process"):
                of(KnownSource(TRUTH), tmp_path).run()
            return super().candles(*arguments)

    of(Nested(TRUTH), tmp_path).run()
    assert_is_truth(tmp_path)


def test_nothing_to_be_had_is_an_error_and_no_file(tmp_path: Path):
    with pytest.raises(DownloadError, match="bybit has no candles of BTCUSDT 1h in that period"):
        of(KnownSource(TRUTH.iloc[:0]), tmp_path).run()
    assert not (tmp_path / "BTCUSDT_1h.csv").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be written"):
        of(KnownSource(TRUTH), tmp_path / "file" / "data").run()


@pytest.mark.parametrize("number", [1e22, 4.39e-06, 1e-07, 123456789.125, 0.1, 5e15])
def test_numbers_are_plain_and_exact(number: float):
    assert float(_plain(number)) == number
    assert "e" not in _plain(number)


@pytest.fixture
def bybit(monkeypatch: pytest.MonkeyPatch, settings):
    with BybitServer() as server:
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        server.add(Series("BTCUSDT", "1h", now - 1000 * HOUR, 1100))
        settings.BYBIT_BASE_URL = server.url
        choice._source.cache_clear()
        yield server
        choice._source.cache_clear()


def test_the_command_downloads_and_says_what_is_missing(bybit: BybitServer, tmp_path: Path, capsys, db):
    call_command("download_historical_data", symbol="btcusdt", interval="1h", output_dir=tmp_path, source="bybit")
    out, err = capsys.readouterr()
    assert re.search(r"BTCUSDT_1h\.csv: 7\d\d candles, 7\d\d of them new, .* UTC; no gaps\n$", out)
    assert "(100 %)" in err
    assert len(read(tmp_path)) > 700


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"symbol": "../x"}, "is not a symbol"),
        ({"symbol": "BTCUSDT", "interval": "7h"}, "unknown interval"),
        ({"symbol": "BTCUSDT", "source": "nosuch"}, "is no source"),
        ({"symbol": "NOTUSDT", "source": "bybit"}, "it has no NOTUSDT"),
    ],
)
def test_a_failure_is_one_line(bybit: BybitServer, tmp_path: Path, db, options: dict[str, str], problem: str):
    with pytest.raises(CommandError, match=problem) as caught:
        call_command("download_historical_data", output_dir=tmp_path, **options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.parametrize("text", ["", "0d", "1", "mo", "-1d", "1.5y", "99y", "1 month"])
def test_a_period_is_refused_unless_it_is_one(text: str):
    with pytest.raises(CommandError, match="must look like"):
        call_command("download_historical_data", f"--period={text}")


def database_url() -> str:
    """The migrated one of the tests, for another process."""
    its = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{its['NAME']}"
    return f"postgres://{its['USER']}:{its['PASSWORD']}@{its['HOST']}:{its['PORT']}/{its['NAME']}"


def test_it_survives_kill_9(bybit: BybitServer, tmp_path: Path, on_disk: None):
    """Killed while chunks arrive: what had arrived is kept, and in the end the file is whole."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    bybit.add(Series("ETHUSDT", "1m", now - timedelta(days=15), 24 * 60 * 16))
    environment = {
        **os.environ,
        "BYBIT_BASE_URL": bybit.url,
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    words = ["--symbol", "ETHUSDT", "--interval", "1m", "--period", "14d", "--source", "bybit", "--output-dir", "data"]
    command = [sys.executable, str(Path(__file__).parents[2] / "manage.py"), "download_historical_data", *words]
    part, target = tmp_path / "data" / ".ETHUSDT_1m.bybit.part", tmp_path / "data" / "ETHUSDT_1m.csv"
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not target.exists()
    kept = part.stat().st_size
    assert kept
    asked = len(bybit.asked)
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "no gaps" in ended.stdout
    assert not part.exists()
    frame = csv_file.read(target, "1m")
    assert len(frame) >= 14 * 24 * 60 - 2
    # What had arrived was not asked for again: a page of 1,000 for each of the rest.
    assert len(bybit.asked) - asked < 20
