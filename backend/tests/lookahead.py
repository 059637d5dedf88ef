"""A proof against look-ahead for any stage: change the future, and nothing up to now may change."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

Stage = Callable[[pd.DataFrame], np.ndarray | pd.DataFrame]
Future = Callable[[pd.DataFrame, int], pd.DataFrame]


def cut_off(candles: pd.DataFrame, row: int) -> pd.DataFrame:
    """No candle after `row` exists yet."""
    return candles.iloc[: row + 1]


def scrambled(candles: pd.DataFrame, row: int) -> pd.DataFrame:
    """Every candle after `row` is another one: shuffled, and at another price and volume."""
    random = np.random.default_rng(row)
    rows = np.concatenate([np.arange(row + 1), random.permutation(np.arange(row + 1, len(candles)))])
    factors = np.ones((len(candles), 2))
    factors[row + 1 :] = np.exp(random.normal(0.0, 0.3, (len(candles) - row - 1, 2)))
    values = candles.to_numpy()[rows]
    values = values * factors[:, [0, 0, 0, 0, 1]]
    return pd.DataFrame(values, index=candles.index, columns=candles.columns)


def assert_blind_to_the_future(
    stage: Stage, candles: pd.DataFrame, rows: Iterable[int], futures: Iterable[Future] = (cut_off, scrambled)
) -> None:
    """`stage` turns n candles into n rows; each row up to `row` must keep its bits whatever comes after `row`."""
    truth = np.asarray(stage(candles), dtype=np.float64)
    assert len(truth) == len(candles), "a stage gives one row for each candle"
    assert not np.isnan(truth).all(), "a stage that says nothing proves nothing"
    for row in rows:
        for future in futures:
            seen = np.asarray(stage(future(candles, row)), dtype=np.float64)
            np.testing.assert_array_equal(
                seen[: row + 1], truth[: row + 1], err_msg=f"candles after row {row} were seen ({future.__name__})"
            )
