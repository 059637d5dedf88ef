import json
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal

import numpy as np
import pytest

from backtests.document import STORED_POINTS, Document
from backtests.runner import Result
from engine.orders import Action, Instrument
from tests.backtests.runs import cent_candles, decimal_places, document_of, result, text_of
from tests.markets import made_candles, random_walk

KEYS = [
    "symbol", "interval", "start", "end", "candles", "seed", "model", "initial_balance", "final_equity", "free_cash",
    "return_percent", "buy_and_hold_return_percent", "accuracy", "baseline_accuracy", "metrics", "decisions",
    "refusals", "symbols", "instruments", "trades", "equity",
]  # fmt: skip
TRADE_KEYS = ["time", "symbol", "action", "price", "quantity", "commission", "slippage", "pnl", "reason"]
INSTRUMENT_KEYS = [
    "symbol", "candles", "start", "end", "trades", "closed_trades", "realised_profit", "commission",
    "exposure_percent", "accuracy", "baseline_accuracy", "buy_and_hold_return_percent", "decisions", "refusals",
    "instrument",
]  # fmt: skip

COINS = Instrument("XYZBTC", Decimal("0.00000001"), Decimal("0.001"), money_step=Decimal("0.00000001"))


def coin_run() -> Result:
    candles = made_candles(np.round(random_walk(900, seed=3, start=0.0004), 8))
    return result(candles, instrument=COINS, symbol="XYZBTC", initial_balance=Decimal("1.5"))


RUNS = {
    "dollars": lambda: result(cent_candles(900, seed=1)),
    "coins": coin_run,
    "shares": lambda: result(cent_candles(900, seed=2), instrument=Instrument("X", lot_step=Decimal(1))),
    "without exits": lambda: result(cent_candles(400, seed=5), stop_loss=None, take_profit=None),
    "one candle": lambda: result(cent_candles(1)),
    "no trade": lambda: result(cent_candles(40)),
    "trained": lambda: result(cent_candles(500, seed=4), start=300, model="gradient_boosting", confidence=0.3),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest) -> Result:
    return RUNS[request.param]()


def test_the_document_has_its_keys_and_no_others(run: Result):
    document = document_of(run)
    assert list(document) == KEYS
    assert all(list(trade) == TRADE_KEYS for trade in document["trades"])
    assert list(document["decisions"]) == ["BUY", "HOLD", "SELL"]
    assert [list(one) for one in document["instruments"]] == [INSTRUMENT_KEYS]
    assert document["candles"] == len(document["equity"]) == run.candles
    assert (document["start"], document["end"]) == (document["equity"][0][0], document["equity"][-1][0])


def test_there_is_no_number_that_json_does_not_know(run: Result):
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in the document")

    json.loads(text_of(run), parse_constant=refuse)


def test_money_has_its_places_and_prices_lie_on_the_grid(run: Result):
    document, instrument = document_of(run), run.instruments[0].instrument
    places = decimal_places(instrument.money_step)
    amounts = [document["initial_balance"], document["final_equity"], document["free_cash"]]
    amounts += [value for _, value in document["equity"]]
    amounts += [trade["commission"] for trade in document["trades"]]
    amounts += [trade["pnl"] for trade in document["trades"] if trade["pnl"] is not None]
    assert {decimal_places(amount) for amount in amounts} == {places}
    for trade in document["trades"]:
        assert trade["price"] % instrument.price_tick == 0
        assert trade["quantity"] % instrument.lot_step == 0


def test_the_trades_alone_give_the_cash_and_the_equity_to_the_last_digit(run: Result):
    """The ledger once more, from nothing but the document and the closes."""
    document, (one,) = document_of(run), run.instruments
    instrument = one.instrument
    step, cash, quantity = instrument.money_step, document["initial_balance"], Decimal(0)
    paid = Decimal(0)
    waiting = document["trades"][::-1]
    for (time, value), close in zip(document["equity"], one.series.close.tolist(), strict=True):
        while waiting and waiting[-1]["time"] == time:
            trade = waiting.pop()
            amount = trade["price"] * trade["quantity"]
            if trade["action"] == "BUY":
                assert trade["pnl"] is None
                paid = (amount / step).to_integral_value("ROUND_UP") * step + trade["commission"]
                cash, quantity = cash - paid, quantity + trade["quantity"]
            else:
                received = (amount / step).to_integral_value("ROUND_DOWN") * step - trade["commission"]
                cash, quantity = cash + received, quantity - trade["quantity"]
                assert trade["pnl"] == received - paid
        worth = quantity * close * instrument.price_tick
        assert value == cash + (worth / step).to_integral_value(ROUND_DOWN) * step
    assert not waiting
    assert (cash, value) == (document["free_cash"], document["final_equity"])


def test_the_figures_agree_with_each_other(run: Result):
    document = document_of(run)
    metrics, trades = document["metrics"], document["trades"]
    profits = [trade["pnl"] for trade in trades if trade["pnl"] is not None]
    initial, final = document["initial_balance"], document["final_equity"]
    assert float(document["return_percent"]) == pytest.approx(float(100 * (final / initial - 1)), abs=1e-6)
    assert metrics["return_percent"] == document["return_percent"]
    assert metrics["closed_trades"] == len(profits)
    assert metrics["gross_profit"] - metrics["gross_loss"] == sum(profits)
    (one,) = document["instruments"]
    assert (one["realised_profit"], one["trades"]) == (sum(profits), len(trades))
    assert (one["exposure_percent"], one["decisions"]) == (metrics["exposure_percent"], document["decisions"])
    assert (one["commission"], one["refusals"]) == (metrics["total_commission"], document["refusals"])
    assert metrics["total_commission"] == sum(trade["commission"] for trade in trades)
    executed = len([trade for trade in trades if trade["reason"] == "signal"])
    decided = sum(document["decisions"].values())
    assert decided - executed - sum(document["refusals"].values()) in (0, 1)  # the last one waits for an open


def test_a_time_names_a_candle_and_a_signal_is_filled_in_the_next_one():
    candles = cent_candles(300, seed=1)
    found = result(candles)
    document, actions = document_of(found), found.instruments[0].series.actions
    times = [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in candles.index]
    assert [time for time, _ in document["equity"]] == times
    for trade in document["trades"]:
        if trade["reason"] == "signal":
            assert Action(actions[times.index(trade["time"]) - 1]).name == trade["action"]


def test_the_same_run_gives_the_same_bytes():
    assert text_of(RUNS["trained"]()) == text_of(RUNS["trained"]())


def test_the_seed_is_what_differs_between_two_forests():
    # On a history too short to calibrate on: a calibrated model of a random walk names the commonest class.
    one, other = (
        document_of(result(cent_candles(350, seed=4), start=150, model="gradient_boosting", confidence=0.3, seed=seed))
        for seed in (1, 2)
    )
    assert one["decisions"] != other["decisions"]


def test_a_trained_run_names_its_accuracy_beside_the_majority_class():
    document = document_of(RUNS["trained"]())
    assert 0 < document["accuracy"] < 1
    assert 0 < document["baseline_accuracy"] < 1
    assert document_of(RUNS["dollars"]())["accuracy"] is None


def test_what_is_stored_of_the_equity_keeps_the_ends_and_the_extremes():
    found = result(cent_candles(5000, seed=9))
    equity = document_of(found)["equity"]
    stored = [list(point) for point in Document(found).thinned_equity()]
    assert len(stored) <= STORED_POINTS
    assert (stored[0], stored[-1]) == (equity[0], equity[-1])
    assert {min(value for _, value in stored), max(value for _, value in stored)} == {
        min(value for _, value in equity),
        max(value for _, value in equity),
    }


def test_buy_and_hold_pays_the_same_costs_at_the_first_open_it_could_have():
    candles = cent_candles(100, seed=1)
    found = result(candles, instrument=Instrument("X", lot_step=Decimal(1)))
    price = (Decimal(str(candles["open"].iloc[1])) * Decimal("1.001")).quantize(Decimal("0.01"), "ROUND_UP")
    shares = int(Decimal("9999.98") / (price * Decimal("1.001")))
    cost = price * shares + (price * shares * Decimal("0.001")).quantize(Decimal("0.01"), "ROUND_UP")
    assert 0 <= 10000 - cost < price + Decimal("0.02") + price * Decimal("0.001")
    assert found.buy_and_hold.at(0) == 10000
    assert found.buy_and_hold.at(-1) == 10000 - cost + shares * Decimal(str(candles["close"].iloc[-1]))
    (one,) = document_of(found)["instruments"]
    assert one["buy_and_hold_return_percent"] == document_of(found)["buy_and_hold_return_percent"]


def test_the_metrics_know_how_long_the_run_was():
    found = result(cent_candles(600))
    assert found.times[-1] - found.times[0] == timedelta(hours=599).total_seconds()
    assert found.metrics.sharpe is not None
