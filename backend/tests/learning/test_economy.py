from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from engine.terms import Costs
from learning.economy import economy, log_growth
from tests.markets import Array, made_candles, random_candles

FREE = Costs(Decimal(0), Decimal(0))
SELL, HOLD, BUY = np.eye(3)


def market(close: list[float]) -> pd.DataFrame:
    return made_candles(close)


def played(
    close: list[float], said: list[Array], costs: Costs = FREE, first: int = 0
) -> tuple[float, float, int, float]:
    rows = np.arange(first, first + len(said))
    found = economy(market(close), rows, np.array(said), costs, 1, 0)
    return found.return_percent, found.buy_and_hold_percent, found.trades, found.exposure_percent


def test_a_decision_is_carried_out_at_the_next_open():
    # made_candles opens at the close before, so that the next open is the close that was decided on.
    assert played([100, 110, 121, 100], [BUY, HOLD, HOLD]) == pytest.approx((0.0, 0.0, 1, 100.0))
    assert played([100, 110, 121, 100], [BUY, HOLD, SELL]) == pytest.approx((21.0, 0.0, 2, 200 / 3))
    assert played([100, 110, 121, 100], [HOLD, BUY, SELL]) == pytest.approx((10.0, 0.0, 2, 100 / 3))


def test_the_open_and_not_the_close_is_paid():
    candles = market([100, 100, 100])
    candles.iloc[1] = [104.0, 104.0, 100.0, 100.0, 1.0]
    found = economy(candles, np.array([0, 1]), np.array([BUY, HOLD]), FREE, 1, 0)
    assert found.return_percent == pytest.approx(100 * (100 / 104 - 1))


def test_costs_are_those_of_the_engine():
    costs = Costs(Decimal("0.001"), Decimal("0.002"))
    both_ways = 0.998 * 0.999 / (1.002 * 1.001)
    assert played([100, 100, 100], [BUY, SELL], costs)[0] == pytest.approx(100 * (both_ways - 1))
    assert played([100, 100, 100], [BUY, HOLD], costs)[0] == pytest.approx(100 * (1 / (1.002 * 1.001) - 1))
    assert played([100, 100, 100], [BUY, HOLD], costs)[:2] == pytest.approx([100 * (1 / (1.002 * 1.001) - 1)] * 2)


def test_to_say_the_same_again_costs_nothing():
    costs = Costs()
    assert played([100, 110, 121, 133], [BUY, BUY, BUY], costs) == played(
        [100, 110, 121, 133], [BUY, HOLD, HOLD], costs
    )
    assert played([100, 110, 121, 133], [SELL, SELL, HOLD], costs)[0] == 0.0


def test_a_row_without_an_answer_changes_nothing():
    nothing = np.full(3, np.nan)
    assert played([100, 110, 121, 133], [BUY, nothing, SELL]) == played([100, 110, 121, 133], [BUY, HOLD, SELL])


def test_rows_that_are_left_out_are_held_through():
    candles = market([100, 110, 121, 133.1, 100])
    found = economy(candles, np.array([0, 3]), np.array([BUY, SELL]), FREE, 1, 0)
    assert found.return_percent == pytest.approx(33.1)


def test_the_last_decision_needs_a_candle_to_be_carried_out_in():
    assert played([100, 110, 121], [HOLD, HOLD, BUY]) == pytest.approx((0.0, 21.0, 0, 0.0))


def test_buying_and_holding_has_no_excess_over_itself():
    found = economy(random_candles(300), np.arange(50, 290), np.tile(BUY, (240, 1)), Costs(), 5, 0)
    assert (found.excess_percent.low, found.excess_percent.value, found.excess_percent.high) == (0, 0, 0)
    assert found.return_percent == found.buy_and_hold_percent


def test_an_oracle_beats_the_market_and_its_interval_says_so():
    candles = random_candles(600)
    rises = (candles["close"].shift(-1) > candles["close"]).to_numpy()[50:590]
    found = economy(candles, np.arange(50, 590), np.where(rises[:, None], BUY, SELL), FREE, 1, 0)
    assert found.excess_percent.low > 0


def test_the_account_grows_by_the_product_of_its_candles():
    prices = random_candles(50)
    invested = np.random.default_rng(0).random(49) < 0.5
    cash, units, fee = 1.0, 0.0, 0.001
    for row, wanted in enumerate(invested, start=1):
        opened = prices["open"].iloc[row]
        if wanted and not units:
            units, cash = cash / (opened * 1.001 * (1 + fee)), 0.0
        elif units and not wanted:
            units, cash = 0.0, units * opened * 0.999 * (1 - fee)
    equity = cash + units * prices["close"].iloc[-1]
    assert np.exp(log_growth(invested, prices, Costs()).sum()) == pytest.approx(equity)
