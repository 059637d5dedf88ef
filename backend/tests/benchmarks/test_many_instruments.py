"""The files of the benchmark, small. Nothing is measured here."""

from pathlib import Path

import pandas as pd

from benchmarks.many_instruments import made, symbols


def test_each_instrument_has_a_series_of_its_own(tmp_path: Path) -> None:
    folder = made(tmp_path, 2, 1000)
    assert made(tmp_path, 2, 1000) == folder
    closes = [pd.read_csv(folder / "data" / f"{symbol}_1m.csv")["close"] for symbol in symbols(2)]
    assert [len(close) for close in closes] == [1000, 1000]
    assert not closes[0].equals(closes[1])
