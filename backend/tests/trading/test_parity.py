"""The agents over the Message table and a history of the engine: the same decisions, trades, levels and books."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from engine.decide import choose
from engine.history import (
    AMOUNT,
    CLOSE,
    COMMISSION,
    COST,
    KINDS,
    LOTS,
    PRICE,
    PROFIT,
    REASON,
    REQUESTED,
    ROW,
    Played,
    Series,
    simulate,
)
from engine.indicators import WINDOW, Array
from engine.orders import OUTCOMES, Instrument
from engine.snapshot import market_frame
from engine.terms import Costs, Rules
from learning.registry.serving import Prediction
from market.calendar.sessions import times_of
from market.instruments import stored_instrument
from market.models import Symbol
from tests.engine.accounts import moody_probabilities
from tests.markets import real_candles
from tests.trading.markets import CASH, PlayedSource, running_account
from trading.books.audit import differences
from trading.books.session import REASONS, RULES, rules_of
from trading.models import Account, CashEntry, Decision, EquityPoint, Position, SessionRecord, Trade, TradingSettings
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import Market
from trading.selectors.sessions import recorded_steps

HISTORY, PLAYED, FIRST = WINDOW, 90, 300

SETTINGS: list[dict[str, Any]] = [
    {"stop_loss": None, "take_profit": None},
    {"stop_loss": Decimal("0.005"), "take_profit": Decimal("0.01"), "max_entries_per_day": 3},
    {
        "stop_loss": None,
        "take_profit": Decimal("0.02"),
        "trailing_stop": Decimal("0.004"),
        "max_daily_loss": Decimal("0.0005"),
        "max_drawdown": Decimal("0.003"),
    },
]
ACROSS: list[dict[str, Any]] = [
    {"max_open_positions": 2, "max_position": Decimal("0.3")},
    {"max_exposure": Decimal("0.5"), "stop_loss": Decimal("0.006"), "risk_level": "high"},
    {"max_daily_loss": Decimal("0.002"), "trailing_stop": Decimal("0.005"), "max_position": 1, "risk_level": "high"},
]
SYMBOLS = {"BTCUSDT": "BTCUSDT_1h", "ETHUSDT": "ETHUSDT_1h", "PEPEUSDT": "PEPEUSDT_1h"}


class Expected(NamedTuple):
    """A history, its instruments, and the open times of all candles end to end."""

    played: Played
    instruments: list[Instrument]
    times: np.ndarray


class KnownModel:
    """Answers by symbol and open time."""

    def __init__(self, answers: dict[tuple[str, datetime], Array]) -> None:
        self.answers = answers

    def predict(self, snapshot: Any, model_type: str) -> Prediction | None:
        row = self.answers.get((snapshot.symbol, snapshot.open_time))
        return None if row is None else Prediction(row, model_type, "known", {})


def frames(real_data: Path, symbols: Sequence[str], holes: bool = False) -> dict[str, pd.DataFrame]:
    """Real candles of each symbol, moved to the same hours; with holes, some have gaps at different places."""
    found = {}
    for number, symbol in enumerate(symbols):
        candles = real_candles(real_data, SYMBOLS[symbol]).iloc[FIRST : FIRST + HISTORY + PLAYED]
        index = pd.date_range("2024-03-01", periods=len(candles), freq="h", tz="UTC", name="open_time")
        candles = candles.set_axis(index)
        if holes and number:
            candles = candles.drop(index[HISTORY + 25 * number : HISTORY + 26 * number])
        found[symbol] = candles
    return found


def played(accounts: Sequence[Account], candles: dict[str, pd.DataFrame], turns: str) -> dict[str, Array]:
    """Plays all markets through the agents; the probabilities (n, 3) of each symbol."""
    probabilities = {
        symbol: moody_probabilities(len(frame) - HISTORY, seed) for seed, (symbol, frame) in enumerate(candles.items())
    }
    answers = {
        (symbol, opened): row
        for symbol, frame in candles.items()
        for opened, row in zip(frame.index[HISTORY:].to_pydatetime(), probabilities[symbol], strict=True)
    }
    sources = {symbol: PlayedSource(frame, HISTORY) for symbol, frame in candles.items()}
    agents = Pipeline(sources=lambda symbol, interval: sources[symbol], predictor=KnownModel(answers))
    markets = [Market(Symbol.objects.get(symbol=symbol), "1h") for symbol in candles]
    for market in markets:
        agents.prepare(market)
    if turns == "together":
        while any([agents.publish_next(market) for market in _earliest(markets, sources, agents)]):
            agents.drain()
    else:
        rng = np.random.default_rng(5)
        while markets:
            market = markets[int(rng.integers(len(markets)))]
            for _ in range(int(rng.integers(1, 5))):
                if not agents.process_next(market):
                    markets.remove(market)
                    break
    return probabilities


def _earliest(markets: Sequence[Market], sources: dict[str, PlayedSource], agents: Pipeline) -> list[Market]:
    """The markets whose next candle closes first."""
    upcoming = {}
    for market in markets:
        fresh = agents.monitor.fresh(market.symbol, market.interval, sources[market.symbol.symbol])
        if not fresh.empty:
            upcoming[market] = fresh.index[0]
    return [market for market, time in upcoming.items() if time == min(upcoming.values())]


def expected(
    account: Account, candles: dict[str, pd.DataFrame], probabilities: dict[str, Array], recorded: bool
) -> Expected:
    settings = TradingSettings.objects.get(account=account)
    series, instruments = [], []
    for symbol in sorted(candles):
        instrument = stored_instrument(Symbol.objects.get(symbol=symbol))
        frame = candles[symbol].iloc[HISTORY:]
        noise = (market_frame(candles[symbol])["volatility"] / candles[symbol]["close"]).to_numpy()[HISTORY:]
        actions, confidence = choose(probabilities[symbol], float(settings.confidence_threshold))
        prices = [instrument.tick_array(frame[name].to_numpy()) for name in ("open", "high", "low", "close")]
        rules = Rules(instrument, Costs(), *rules_of(*(getattr(settings, name) for name in RULES)))
        series.append(Series(rules, 3600, seconds(frame), *prices, actions, confidence, noise))
        instruments.append(instrument)
    steps = steps_of(account, series, instruments) if recorded else None
    return Expected(
        simulate(series, int(CASH * 100), steps), instruments, np.concatenate([one.times for one in series])
    )


def seconds(frame: pd.DataFrame) -> np.ndarray:
    return times_of(frame.index).astype("datetime64[s]").astype(np.int64)


def steps_of(account: Account, series: Sequence[Series], instruments: Sequence[Instrument]) -> np.ndarray:
    """What the account's sessions have recorded, as steps of the engine."""
    rows, first = {}, 0
    for one, instrument in zip(series, instruments, strict=True):
        rows |= {(instrument.symbol, int(time)): first + row for row, time in enumerate(one.times.tolist())}
        first += len(one.times)
    records = SessionRecord.objects.filter(account=account).order_by("number")
    assert list(records.values_list("number", flat=True)) == list(range(1, records.count() + 1))
    return recorded_steps(account, rows)


def assert_same_books(account: Account, found: Expected) -> None:
    history, instruments, times = found
    numbers = {instrument.symbol: k for k, instrument in enumerate(instruments)}
    outcomes: dict[str, list[str]] = {symbol: [] for symbol in numbers}
    for decision in Decision.objects.filter(account=account).select_related("symbol").order_by("close_time"):
        is_filled = decision.status == "executed"
        outcomes[decision.symbol.symbol].append("executed" if is_filled else decision.reason_code or decision.status)
    for symbol, k in numbers.items():
        mine = history.outcomes[history.starts[k] : history.starts[k + 1]]
        assert outcomes[symbol] == [OUTCOMES[number] for number in mine if OUTCOMES[number] != "none"]
    trades = []
    for trade in Trade.objects.filter(account=account).select_related("order", "symbol").order_by("pk"):
        instrument = instruments[numbers[trade.symbol.symbol]]
        trades.append((
            trade.symbol.symbol,
            instrument.exact_lots(trade.quantity),
            instrument.exact_ticks(trade.price),
            trade.order.reason,
            instrument.exact_ticks(trade.order.requested_price),
            int(trade.amount * 100),
            int(trade.commission * 100),
            0 if trade.pnl is None else int(trade.pnl * 100),
            0 if trade.cost is None else int(trade.cost * 100),
            int(trade.timestamp.timestamp()),
        ))  # fmt: skip
    place = np.searchsorted(history.starts, history.fills[:, ROW], side="right") - 1
    assert trades == [
        (
            instruments[k].symbol,
            row[LOTS],
            row[PRICE],
            REASONS[row[REASON]].value,
            row[REQUESTED],
            row[AMOUNT],
            row[COMMISSION],
            row[PROFIT],
            row[COST],
            int(times[row[ROW]]),
        )
        for k, row in zip(place.tolist(), history.fills.tolist(), strict=True)
    ]
    assert len(trades) > 4
    account.refresh_from_db()
    books = history.account
    assert (account.cash, account.realised, account.commissions) == (
        Decimal(books.cash) / 100, Decimal(books.realised) / 100, Decimal(books.commissions) / 100,
    )  # fmt: skip
    assert account.equity == Decimal(books.cash + books.worth) / 100
    assert account.peak_equity == Decimal(books.peak) / 100
    for symbol, k in numbers.items():
        position = Position.objects.filter(account=account, symbol__symbol=symbol, closed_at=None).first()
        held = history.holdings[k]
        assert (position is not None) == (held.lots > 0)
        if position is not None:
            levels = [position.stop_loss and instruments[k].exact_ticks(position.stop_loss),
                      position.take_profit and instruments[k].exact_ticks(position.take_profit)]  # fmt: skip
            assert levels == [held.stop or None, held.target or None]
            assert instruments[k].ticks(position.high) == held.high
    assert CashEntry.objects.filter(account=account).order_by("pk").last().balance == account.cash
    assert list(differences(Account.objects.filter(pk=account.pk))) == []


def equity_at_closes(found: Expected, steps: np.ndarray, series_times: np.ndarray) -> dict:
    """The last equity of each close, in the order in which they were handled."""
    history = found.played
    closes = [step // KINDS for step in steps.tolist() if step % KINDS == CLOSE]
    return {int(series_times[row]): int(history.equity[row]) for row in closes}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("chosen", SETTINGS)
def test_agents_and_history_agree_to_the_last_digit(real_data: Path, chosen: dict[str, Any]) -> None:
    candles = frames(real_data, ["BTCUSDT"])
    account = running_account(confidence_threshold=Decimal("0.4"), **chosen)
    probabilities = played([account], candles, "together")
    found = expected(account, candles, probabilities, recorded=False)
    assert_same_books(account, found)
    points = EquityPoint.objects.filter(account=account).order_by("time")
    assert [int(point.equity * 100) for point in points] == found.played.equity.tolist()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turns", ["together", "as they come"])
def test_three_accounts_in_three_instruments_agree_with_history(real_data: Path, turns: str) -> None:
    candles = frames(real_data, list(SYMBOLS), holes=turns != "together")
    accounts = [
        running_account(
            f"user{number}@example.com", symbols=" ".join(SYMBOLS), confidence_threshold=Decimal("0.4"), **chosen
        )
        for number, chosen in enumerate(ACROSS)
    ]
    probabilities = played(accounts, candles, turns)
    for account in accounts:
        in_order = expected(account, candles, probabilities, recorded=True)
        assert_same_books(account, in_order)
        history = in_order.played
        marks = equity_at_closes(in_order, history.steps, in_order.times + 3600)
        points = EquityPoint.objects.filter(account=account).values_list("time", "equity")
        assert {int(time.timestamp()): int(equity * 100) for time, equity in points} == marks
        if turns == "together":
            # Candles that are handled moment by moment need no record: they come in the stated order.
            by_time = expected(account, candles, probabilities, recorded=False).played
            assert (by_time.fills == history.fills).all()
            assert by_time.account == history.account
