"""What the profile of a cycle counts, on functions of the engine."""

import pandas as pd
import pytest

from benchmarks.cycle_profile import Calls
from engine.candles import CandleError, interval_length
from engine.indicators import sma


def test_named_functions_of_the_project_are_counted() -> None:
    calls = Calls()
    with calls.counted():
        pd.Series([1.0]).mean()
        interval_length("1h")
        interval_length("1h")
    assert [(code.co_name, number) for code, number in calls.functions.items()] == [("interval_length", 2)]
    assert calls.files == {"engine/candles.py": 2}
    assert calls.moves == 0


def test_a_call_into_another_file_is_a_move() -> None:
    from backtests.options import Options, OptionsError

    calls = Calls()
    with calls.counted(), pytest.raises(OptionsError):
        Options("X", "no interval")
    assert calls.files["engine/candles.py"] >= 1
    assert calls.moves >= 1


def test_counting_ends_where_it_should() -> None:
    calls = Calls()
    with pytest.raises(CandleError), calls.counted():
        interval_length("never")
    known = dict(calls.functions)
    sma(pd.Series(range(20)).to_numpy(float), 3)
    assert dict(calls.functions) == known
