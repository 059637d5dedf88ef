"""A crowd of processes at work on one account: agents, orders by hand, closings and protective exits all at once."""

import json
import multiprocessing
from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
from django.core.management import call_command
from django.db import connection

from engine.orders import Action
from market.models import Symbol
from tests.markets import made_candles, random_walk
from tests.trading.markets import PlayedSource, ToldPredictor, running_account
from trading.books.audit import differences
from trading.books.idempotency import IdempotentRequest, StoredResponse
from trading.errors import NoPrice, PositionClosed
from trading.models import Account, CashEntry, Decision, IdempotentAnswer, Message, Order, Position
from trading.runtime import on_demand
from trading.runtime.manual_orders import OrderResult, Refusal, Ticket, close_position, place_order
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import watched_markets

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
HISTORY, PATIENCE_SECONDS = 60, 90
EMAIL = "crowd@example.com"
# At prices near 100 and a cash of 10,000: one of the large ones leaves nothing for the next.
QUANTITIES = [Decimal(5), Decimal(30), Decimal(80)]
ANSWERS = {"BUY": [0.1, 0.1, 0.8], "SELL": [0.8, 0.1, 0.1]}


def race(racers: int, candles: int) -> None:
    """Prints what came of it: what the racers say they did, and what the database says."""
    pipeline = _agents(candles)
    call_command("migrate", verbosity=0)
    # All of the cash may go into one position, so that they fight for it.
    limits: dict[str, Any] = {"max_position": 1, "max_drawdown": None, "max_daily_loss": None, "risk_level": "high"}
    running_account(EMAIL, symbols=" ".join(SYMBOLS), stop_loss="0.005", take_profit="0.01", **limits)
    for market in watched_markets():
        pipeline.prepare(market)
    connection.close()
    processes = multiprocessing.get_context("fork")
    start, said = processes.Barrier(racers), processes.Queue()
    arguments = [(pipeline, number, start, said) for number in range(racers)]
    # Daemons: whoever hangs ends with this process.
    crowd = [processes.Process(target=_run, args=given, daemon=True) for given in arguments]
    for racer in crowd:
        racer.start()
    told = sum((said.get(timeout=PATIENCE_SECONDS) for _ in crowd), Counter[str]())
    for racer in crowd:
        racer.join(timeout=10)
    pipeline.drain()
    print(json.dumps({"exits": [racer.exitcode for racer in crowd], "told": told, **_found()}))


def _agents(candles: int) -> Pipeline:
    sources, answers = {}, {}
    for seed, symbol in enumerate(SYMBOLS):
        closes = np.round(random_walk(HISTORY + candles, seed, step=0.006), 2)
        sources[symbol] = PlayedSource(made_candles(closes), HISTORY)
        # Each candle of all markets at once: BUY, BUY, SELL.
        for row, opened in enumerate(sources[symbol].candles.index[HISTORY:].to_pydatetime()):
            answers[opened] = np.array(ANSWERS["SELL" if row % 3 == 2 else "BUY"])
    return Pipeline(lambda symbol, interval: sources[symbol], ToldPredictor(answers))


def _run(pipeline: Pipeline, number: int, start: Any, said: Any) -> None:
    on_demand.use(pipeline)
    racer = _Racer(pipeline, number)
    start.wait(timeout=PATIENCE_SECONDS)
    try:
        racer.play()
    except Exception as error:
        racer.told[f"{type(error).__name__}: {error}"] += 1
    finally:
        connection.close()
        said.put(racer.told)


class _Racer:
    """One process: a turn of a market, then something by hand, until no market has a candle left."""

    def __init__(self, pipeline: Pipeline, number: int) -> None:
        self.pipeline, self.chance, self.keys = pipeline, Random(number), 0
        self.account = Account.objects.select_related("settings").get(user__email=EMAIL)
        self.symbols = list(Symbol.objects.filter(symbol__in=SYMBOLS).order_by("symbol"))
        self.told: Counter[str] = Counter()

    def play(self) -> None:
        markets = watched_markets()
        while markets:
            market = self.chance.choice(markets)
            if not self.pipeline.process_next(market):
                markets.remove(market)
            self.chance.choice([self.order, self.order, self.order, self.close])()

    def close(self) -> None:
        held = Position.objects.filter(account=self.account, closed_at=None).select_related("symbol").first()
        if held is None:
            return
        try:
            close_position(self.account, held)
            self.told["closed"] += 1
        except (PositionClosed, NoPrice) as error:
            self.told[type(error).__name__] += 1

    def order(self) -> None:
        """Every racer says the same keys for the same tickets: each of them may be carried out once."""
        self.keys += 1
        draw = Random(self.keys)
        ticket = Ticket(draw.choice([Action.BUY, Action.SELL]), draw.choice(self.symbols), draw.choice(QUANTITIES))
        try:
            place_order(IdempotentRequest(self.account, f"key-{self.keys}", str(ticket)), ticket, self._said)
        except NoPrice:
            self.told["NoPrice"] += 1

    def _said(self, outcome: OrderResult) -> StoredResponse:
        """Called only by the racer whose order is carried out."""
        if isinstance(outcome, Refusal):
            self.told[str(outcome.code)] += 1
            return StoredResponse(409, "{}")
        self.told["placed"] += 1
        return StoredResponse(200, json.dumps({"trade": outcome.pk}))


def _found() -> dict[str, Any]:
    orders, decisions = Order.objects.all(), Decision.objects.all()
    return {
        "differences": list(differences(Account.objects.all())),
        "failures": Message.objects.filter(attempts__gt=0).count(),
        "lowest_cash": float(min(CashEntry.objects.values_list("balance", flat=True))),
        "orders": Counter(orders.values_list("reason", flat=True)),
        "placed": orders.filter(client_order_id__startswith="manual-").count(),
        "kept": IdempotentAnswer.objects.filter(status=200).count(),
        "snapshots": Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT).count(),
        "decisions": Counter(decisions.values_list("status", flat=True)),
    }
