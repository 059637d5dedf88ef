"""The Execution Agent: TRADE_DECISION in; through the gate to the broker; one EXECUTION_REPORT out for each."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from engine.decide import Decision as Made
from engine.fills import execution_report, fill
from engine.orders import Action, Fill, Instrument, Order, Quote, Refusal
from engine.risk import gate
from market.instruments import stored_instrument
from market.models import Symbol
from market.sources.replay import Price
from market.statements import update_alike
from trading.agents import journal
from trading.books.session import Desk, decided_desks, price_age, save_accounts
from trading.messages.adapter import DjangoAgentAdapter, Handled
from trading.models import Account, AgentType, Decision, Message

FAILURE = "error"

Quotes = Callable[[Symbol, str, datetime], Price | None]
"""The first price of a symbol at an interval after a moment, or None while there is none."""


class BatchTerms:
    """What the decisions of one batch have in common: the price after a close, and the steps of an instrument."""

    def __init__(self, quotes: Quotes) -> None:
        self._quotes = quotes
        self._prices: dict[tuple[int, str, datetime], Price | None] = {}
        self._instruments: dict[int, Instrument] = {}

    def price(self, decision: Decision) -> Price | None:
        key = decision.symbol_id, decision.interval, decision.close_time
        if key not in self._prices:
            self._prices[key] = self._quotes(decision.symbol, decision.interval, decision.close_time)
        return self._prices[key]

    def instrument(self, symbol: Symbol) -> Instrument:
        if symbol.pk not in self._instruments:
            self._instruments[symbol.pk] = stored_instrument(symbol)
        return self._instruments[symbol.pk]


class ExecutionAgent:
    def __init__(self, quotes: Quotes, adapter: DjangoAgentAdapter | None = None) -> None:
        self.quotes = quotes
        self.adapter = adapter or DjangoAgentAdapter(AgentType.EXECUTION)
        self.adapter.give_up = self.give_up
        self.activity = journal.Activity(AgentType.EXECUTION)

    def work(self) -> int:
        return self.adapter.work(self.handle)

    def handle(self, messages: Sequence[Message]) -> Handled:
        """The decisions of a batch, each under the lock of its account."""
        desks, decisions = decided_desks([message.payload["decision_id"] for message in messages])
        handled, done, terms = Handled(), [], BatchTerms(self.quotes)
        for message in messages:
            decision = decisions[message.payload["decision_id"]]
            decision.symbol = message.symbol
            price = terms.price(decision)
            if price is None:
                handled.deferred.append(message)
                continue
            desk, instrument = desks[message.account_id], terms.instrument(decision.symbol)
            handled.outgoing.append(self._carry_out(desk, message, decision, price, instrument))
            done.append(decision)
        now = timezone.now()
        for decision in done:
            decision.executed_at = now
        update_alike(done, "status", "reason_code", "executed_at")
        save_accounts(desks.values())
        self.activity.tell([desk.account for desk in desks.values()])
        return handled

    def _carry_out(
        self, desk: Desk, message: Message, decision: Decision, price: Price, instrument: Instrument
    ) -> Message:
        rules = desk.rules(instrument, price.oldest_seconds)
        quote = Quote(instrument.price(price.price), price_age(decision.close_time, price))
        desk.begin_day(price.time.date())
        made = _made(decision)
        result: Order | Fill | Refusal = gate(made, desk.book(), desk.standing(made.symbol, quote.price), quote, rules)
        order_id = f"decision-{decision.pk}"
        if isinstance(result, Order):
            result = fill(result, instrument, rules.costs, price.time)
            trade = desk.record(result, decision.symbol, instrument, order_id, decision)
            journal.traded(desk, trade, result.order.reason, message)
            decision.status, decision.reason_code = Decision.Status.EXECUTED, result.order.reason
        elif isinstance(result, Refusal):
            decision.status = Decision.Status.SKIPPED if result.skipped else Decision.Status.REJECTED
            decision.reason_code = result.code
            journal.refused(desk, result, decision, message)
        report = execution_report(result, made.action, made.symbol, order_id, price.time)
        return self._report(message, desk.account, report)

    def give_up(self, message: Message, error: Exception) -> list[Message]:
        """A decision that could not be carried out has FAILED: a later price is not the one it was made for."""
        failed = {"status": Decision.Status.FAILED, "reason_code": FAILURE, "executed_at": timezone.now()}
        pending = Decision.objects.filter(pk=message.payload["decision_id"], status=Decision.Status.PENDING)
        return [self._report(message, message.account, _failure(message, error))] if pending.update(**failed) else []

    def _report(self, message: Message, account: Account, payload: dict[str, Any]) -> Message:
        return self.adapter.message(
            "",
            Message.Type.EXECUTION_REPORT,
            payload,
            key=f"report:{message.pk}",
            symbol=message.symbol,
            interval=message.interval,
            account=account,
            caused_by=message,
        )


def _failure(message: Message, error: Exception) -> dict[str, Any]:
    """The payload of the report on a decision that was given up."""
    return {
        "order_id": f"decision-{message.payload['decision_id']}",
        "ticker": message.symbol.symbol,
        "action": message.payload["action"],
        "timestamp": timezone.now().isoformat().replace("+00:00", "Z"),
        "status": "failed",
        "reason_code": FAILURE,
        "quantity": 0,
        "requested_price": None,
        "executed_price": None,
        "commission": 0.0,
        "slippage": 0.0,
        "message": f"{type(error).__name__}: {error}",
    }


def _made(decision: Decision) -> Made:
    """The decision as the engine made it."""
    return Made(
        symbol=decision.symbol.symbol,
        time=decision.close_time,
        action=Action[decision.action],
        confidence=decision.confidence,
        risk_score=decision.risk_score,
        quantity=decision.quantity,
        price=decision.price,
    )
