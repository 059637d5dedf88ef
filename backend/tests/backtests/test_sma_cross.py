"""The strategy `sma_cross` against a naive walk over the candles that shares no code with the project."""

from decimal import ROUND_DOWN, ROUND_UP, Decimal
from pathlib import Path

import pandas as pd
import pytest

from engine.orders import Instrument
from tests.backtests.runs import cent_candles, document_of, result

DATA = Path(__file__).resolve().parents[3] / "data"
CENT, FEE, SLIPPAGE, SHARES = Decimal("0.01"), Decimal("0.002"), Decimal("0.0005"), Decimal(3)


def naive(candles: pd.DataFrame) -> tuple[list[tuple[str, str, Decimal, Decimal | None]], Decimal]:
    """Buys three shares at the open after SMA 10 stands above SMA 50, sells them at the open after it stands below."""
    closes = [Decimal(str(close)) for close in candles["close"]]
    cash, held, paid, trades, wanted = Decimal(10000), Decimal(0), Decimal(0), [], ""
    for row, (time, candle) in enumerate(candles.iterrows()):
        stamp, opened = f"{time:%Y-%m-%dT%H:%M:%SZ}", Decimal(str(candle["open"])).quantize(CENT)
        if wanted == "BUY" and not held:
            price = (opened * (1 + SLIPPAGE)).quantize(CENT, ROUND_UP)
            paid = price * SHARES + (price * SHARES * FEE).quantize(CENT, ROUND_UP)
            cash, held = cash - paid, SHARES
            trades.append((stamp, "BUY", price, None))
        elif wanted == "SELL" and held:
            price = (opened * (1 - SLIPPAGE)).quantize(CENT, ROUND_DOWN)
            received = price * SHARES - (price * SHARES * FEE).quantize(CENT, ROUND_UP)
            cash, held = cash + received, Decimal(0)
            trades.append((stamp, "SELL", price, received - paid))
        wanted = ""
        if row >= 49:
            fast, slow = sum(closes[row - 9 : row + 1]) / 10, sum(closes[row - 49 : row + 1]) / 50
            wanted = "BUY" if fast > slow else "SELL" if fast < slow else ""
    return trades, cash + held * closes[-1]


@pytest.mark.parametrize("name", ["GOOG_1d", "IBM_1d", "random walk"])
def test_it_trades_as_a_naive_walk_over_the_candles(name: str):
    if name == "random walk":
        candles, interval = cent_candles(3000, seed=7), "1h"
    else:
        candles, interval = pd.read_csv(DATA / f"{name}.csv", index_col="timestamp", parse_dates=True), "1d"
    found = result(
        candles,
        instrument=Instrument("X", lot_step=Decimal(1)),
        interval=interval,
        quantity=SHARES,
        max_position=Decimal(1),
        fee_rate=FEE,
        slippage=SLIPPAGE,
        stop_loss=None,
        take_profit=None,
    )
    document, (trades, equity) = document_of(found), naive(candles)
    assert len(trades) > 20
    assert [(trade["time"], trade["action"], trade["price"], trade["pnl"]) for trade in document["trades"]] == trades
    assert 0 <= equity - document["final_equity"] < CENT


@pytest.mark.parametrize("cash", ["1", "99.99", "10000"])
def test_buy_and_hold_never_owes_anything(cash: str):
    candles = cent_candles(50)
    curve = result(candles, instrument=Instrument("X"), initial_balance=Decimal(cash)).buy_and_hold
    assert curve.at(0) == Decimal(cash)
    assert 0 < curve.at(1) < Decimal(cash) * 2
