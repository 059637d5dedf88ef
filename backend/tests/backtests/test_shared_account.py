"""Several instruments on one account: one cash book, one order of events, limits across instruments."""

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from backtests.document import Document
from backtests.options import OptionsError
from backtests.pacing import lines
from backtests.report import render
from backtests.runner import Result, run
from backtests.series import PriceHistory, load
from backtests.terminal import lines as terminal_lines
from backtests.wording import notes
from engine.orders import Instrument
from market.symbols import quote_currency
from tests.backtests.runs import cent_candles, document_of, options, result, shared, write_csv
from tests.markets import made_candles

NAMES = ("AAAUSDT", "BBBUSDT", "CCCUSDT")


def three(**changes: object) -> Result:
    return shared(*((name, cent_candles(600, seed=seed)) for seed, name in enumerate(NAMES)), **changes)


@pytest.fixture(scope="module")
def found() -> Result:
    return three(max_position=Decimal("0.5"))


def test_one_cash_book_pays_for_all(found: Result):
    document = document_of(found)
    cash, held = Decimal("10000.00"), dict.fromkeys(NAMES, Decimal(0))
    for trade in document["trades"]:
        amount = trade["price"] * trade["quantity"]
        rounding = "ROUND_CEILING" if trade["action"] == "BUY" else "ROUND_FLOOR"
        amount = amount.quantize(Decimal("0.01"), rounding)
        sign = 1 if trade["action"] == "BUY" else -1
        cash -= sign * amount + trade["commission"]
        held[trade["symbol"]] += sign * trade["quantity"]
        assert cash >= 0
    assert cash == document["free_cash"]
    profits = {one["symbol"]: one["realised_profit"] for one in document["instruments"]}
    for name in NAMES:
        assert profits[name] == sum(
            t["pnl"] for t in document["trades"] if t["symbol"] == name and t["pnl"] is not None
        )
    worth = sum(
        (held[one.symbol] * one.series.close.tolist()[-1] * one.instrument.price_tick).quantize(
            Decimal("0.01"), "ROUND_FLOOR"
        )
        for one in found.instruments
    )
    assert document["final_equity"] == cash + worth


def test_the_document_has_each_instrument_and_the_whole(found: Result):
    document = document_of(found)
    assert (document["symbol"], document["symbols"]) == ("AAAUSDT,BBBUSDT,CCCUSDT", list(NAMES))
    assert [one["symbol"] for one in document["instruments"]] == list(NAMES)
    assert {trade["symbol"] for trade in document["trades"]} == set(NAMES)
    assert document["candles"] == 1800
    assert len(document["equity"]) == 600
    for name in ("decisions", "refusals"):
        for key, count in document[name].items():
            assert count == sum(one[name].get(key, 0) for one in document["instruments"])
    assert document["metrics"]["total_commission"] == sum(one["commission"] for one in document["instruments"])
    assert sum(one["trades"] for one in document["instruments"]) == len(document["trades"])
    facts = document["instruments"][0]["instrument"]
    assert (facts["price_tick"], facts["money_step"], facts["source"]) == (Decimal("0.01"), Decimal("0.01"), "inferred")


def test_the_order_of_the_names_given_does_not_matter(found: Result):
    backwards = options(symbol=",".join(reversed(NAMES)), max_position=Decimal("0.5"))
    assert backwards.symbols == NAMES


def test_of_one_moment_exits_come_before_entries_each_in_the_order_of_the_names():
    sources = ((f"A{n}USDT", cent_candles(1500, seed=n)) for n in range(6))
    document = document_of(shared(*sources, max_position=Decimal("0.5"), stop_loss=None, take_profit=None))
    kinds = [(trade["time"], trade["action"] == "BUY", trade["symbol"]) for trade in document["trades"]]
    assert kinds == sorted(kinds)
    both = {time for time, buys, _ in kinds if buys} & {time for time, buys, _ in kinds if not buys}
    assert both, "no moment with an exit and an entry: the test says nothing"


def test_the_cash_of_an_exit_pays_for_the_entry_of_the_same_moment():
    """B is sold and A bought at one open, and there was no cash for A before."""
    up, down = np.linspace(100, 200, 60), np.linspace(200, 100, 60)
    candles = {"AAAUSDT": np.concatenate([down, up]), "BBBUSDT": np.concatenate([up, down])}
    full = shared(
        *((name, made_candles(np.round(close, 2))) for name, close in candles.items()),
        max_position=Decimal(1), quantity=Decimal(40), stop_loss=None, take_profit=None,
    )  # fmt: skip
    trades = document_of(full)["trades"]
    first = [(trade["symbol"], trade["action"]) for trade in trades[:3]]
    assert first == [("BBBUSDT", "BUY"), ("BBBUSDT", "SELL"), ("AAAUSDT", "BUY")]
    assert trades[1]["time"] == trades[2]["time"]
    paid = trades[0]["price"] * trades[0]["quantity"] + trades[0]["commission"]
    assert 10000 - paid < trades[2]["price"] * trades[2]["quantity"]


def test_a_limit_on_open_positions_counts_all_instruments():
    document = document_of(three(max_open_positions=1, max_position=Decimal("0.2")))
    held: set[str] = set()
    for trade in document["trades"]:
        (held.add if trade["action"] == "BUY" else held.discard)(trade["symbol"])
        assert len(held) <= 1
    assert document["refusals"]["open_positions"] > 0
    assert {trade["symbol"] for trade in document["trades"]} == set(NAMES)


def test_a_limit_on_exposure_counts_all_instruments():
    free, bounded = (
        three(max_position=Decimal("0.25")),
        three(max_position=Decimal("0.25"), max_exposure=Decimal("0.3")),
    )
    assert "exposure_limit" not in document_of(free)["refusals"]
    assert document_of(bounded)["refusals"]["exposure_limit"] > 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max_daily_loss": Decimal("0.0001")}, "daily_loss_limit"),
        ({"max_drawdown": Decimal("0.001")}, "drawdown_limit"),
        ({"max_entries_per_day": 0}, "entries_per_day"),
    ],
)
def test_the_limits_of_the_account_reach_every_instrument(changes: dict[str, object], code: str):
    document = document_of(three(**changes))
    assert all(one["refusals"].get(code, 0) > 0 for one in document["instruments"])


def test_an_instrument_alone_and_beside_one_that_never_trades_does_the_same():
    still = made_candles(np.full(600, 50.0))
    alone = document_of(result(cent_candles(600, seed=3)))
    beside = document_of(shared(("BTCUSDT", cent_candles(600, seed=3)), ("ZZZUSDT", still)))
    for name in ("trades", "equity", "final_equity", "free_cash"):
        assert beside[name] == alone[name]


def test_candles_may_begin_later_and_end_earlier():
    whole = cent_candles(600, seed=1)
    late, early = cent_candles(600, seed=2).iloc[300:], cent_candles(600, seed=5).iloc[:250]
    found = shared(("AAAUSDT", early), ("BBBUSDT", whole), ("CCCUSDT", late))
    document = document_of(found)
    assert [one["candles"] for one in document["instruments"]] == [250, 600, 300]
    assert len(document["equity"]) == 600
    assert (document["start"], document["end"]) == ("2024-01-01T00:00:00Z", "2024-01-25T23:00:00Z")
    words = notes(found)
    assert any(word.startswith("AAAUSDT: its candles end at 2024-01-11 09:00, before the others") for word in words)
    assert any(word.startswith("CCCUSDT: its candles begin at 2024-01-13 12:00, after the others") for word in words)


def test_a_position_whose_series_has_ended_keeps_its_last_mark():
    rising = made_candles(np.round(np.linspace(100, 130, 120), 2))
    still = made_candles(np.full(200, 50.0))
    found = shared(("AAAUSDT", rising), ("BBBUSDT", still), stop_loss=None, take_profit=None)
    document = document_of(found)
    assert [trade["action"] for trade in document["trades"]] == ["BUY"]
    assert {amount for _, amount in document["equity"][119:]} == {document["final_equity"]}
    (note,) = [word for word in notes(found) if word.startswith("AAAUSDT")]
    assert "stays open, valued at its last close" in note


def test_buy_and_hold_splits_the_cash_equally():
    rising, still = made_candles(np.linspace(100, 200, 120)), made_candles(np.full(120, 50.0))
    free = {"fee_rate": Decimal(0), "slippage": Decimal(0)}
    whole = document_of(shared(("AAAUSDT", rising), ("BBBUSDT", still), **free))
    kept = [one["buy_and_hold_return_percent"] for one in whole["instruments"]]
    assert float(kept[0]) == pytest.approx(100, abs=1)
    assert float(kept[1]) == pytest.approx(0, abs=0.01)
    assert float(whole["buy_and_hold_return_percent"]) == pytest.approx(float(sum(kept)) / 2, abs=0.01)


def test_money_of_different_steps_cannot_share_an_account():
    sources = [
        (PriceHistory(cent_candles(60), 0), Instrument("AAABTC", money_step=Decimal("0.00000001"))),
        (PriceHistory(cent_candles(60), 0), Instrument("BBBUSDT")),
    ]
    with pytest.raises(OptionsError, match="cannot share an account"):
        run(options(symbol="AAABTC,BBBUSDT"), sources)


@pytest.mark.parametrize(
    ("symbol", "words"),
    [("AAAUSDT,AAAUSDT", "is named twice"), (",".join(f"A{n}USDT" for n in range(51)), "51 symbols; at most 50")],
)
def test_symbols_that_cannot_share_an_account_are_refused(symbol: str, words: str):
    with pytest.raises(OptionsError, match=words):
        options(symbol=symbol)


def test_without_a_start_models_begin_after_a_third_of_the_common_time(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
):
    candles = cent_candles(600)
    write_csv(tmp_path, candles, "AAAUSDT_1h.csv")
    write_csv(tmp_path, candles.iloc[300:], "BBBUSDT_1h.csv")
    monkeypatch.chdir(tmp_path)
    found = list(load(options(symbol="AAAUSDT,BBBUSDT", model="random_forest"), datetime(2025, 1, 1, tzinfo=UTC)))
    assert {history.tested.index[0] for history in found} == {pd.Timestamp("2024-01-17T16:00Z")}
    early = options(symbol="AAAUSDT,BBBUSDT", model="random_forest", end=datetime(2024, 1, 5, tzinfo=UTC))
    with pytest.raises(OptionsError, match=r"need time in common: AAAUSDT_1h\.csv 2024-01-01 to"):
        list(load(early, datetime(2025, 1, 1, tzinfo=UTC)))


def test_a_trained_run_scores_each_instrument():
    sources = [(name, cent_candles(450, seed=seed)) for seed, name in enumerate(NAMES[:2])]
    document = document_of(shared(*sources, start=300, model="gradient_boosting", confidence=0.3))
    accuracies = [float(one["accuracy"]) for one in document["instruments"]]
    assert min(accuracies) <= float(document["accuracy"]) <= max(accuracies)


def test_the_page_the_terminal_and_the_pacing_name_each_instrument(found: Result):
    document = Document(found)
    page, terminal = render(document, []), "\n".join(terminal_lines(document, []))
    paced = list(lines(found))
    assert len(paced) == 1800
    for place, name in enumerate(NAMES):
        assert f"{name} Price, entries and exits" in page
        assert f"\n {name}" in terminal
        assert name in paced[place]
    assert all(f'id="{name}"' in page for name in ("price", "price2", "price3", "instruments"))
    assert "share one account and its limits" in terminal


def test_of_many_instruments_the_page_says_which_prices_it_leaves_out():
    found = shared(*((f"A{n}USDT", cent_candles(60, seed=n)) for n in range(8)))
    page = render(Document(found), [])
    assert "Prices not shown: A6USDT, A7USDT" in page
    assert 'id="price6"' in page
    assert 'id="price7"' not in page


@pytest.mark.parametrize(
    ("symbol", "currency"),
    [("BTCUSDT", "USD"), ("ETHPERP", "USD"), ("GOOG", "USD"), ("ETHBTC", "BTC"), ("USDJPY", "JPY"), ("EURUSD", "USD")],
)
def test_a_symbol_is_paid_for_in_a_currency(symbol: str, currency: str) -> None:
    assert quote_currency(symbol) == currency
