"""The Execution Agent: TRADE_DECISION in; through the gate to a fill; one EXECUTION_REPORT out for each."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from engine.account import at_open
from engine.orders import EXECUTED, NOTHING_TO_DO, OUTCOMES, Action, Code
from engine.risk import refusal_text
from market.models import Symbol
from market.sources.replay import Price
from trading.agents import journal
from trading.agents.reports import FAILURE, failure_report, fill_report, refusal_report
from trading.books.session import REASONS, AccountSession, day_of, locked_sessions, price_age, save
from trading.messages.adapter import DjangoAgentAdapter, Handled
from trading.models import Account, AgentType, Decision, Message

Quotes = Callable[[Symbol, str, datetime], Price | None]
"""The first price of a symbol at an interval after a moment, or None while there is none."""


class ExecutionAgent:
    def __init__(self, quotes: Quotes, adapter: DjangoAgentAdapter | None = None) -> None:
        self.quotes = quotes
        self.adapter = adapter or DjangoAgentAdapter(AgentType.EXECUTION)
        self.adapter.give_up = self.give_up
        self.activity = journal.Activity(AgentType.EXECUTION)

    def work(self) -> int:
        return self.adapter.work(self.handle)

    def handle(self, messages: Sequence[Message]) -> Handled:
        """The decisions of a batch, each under the lock of its account: of one moment exits first, then entries, each
        in the order of their symbols. A decision without a price yet is deferred.
        """
        symbols = {message.symbol for message in messages}
        sessions = {it.account.pk: it for it in locked_sessions(Q(pk__in={it.account_id for it in messages}), symbols)}
        # Read after the lock: until then another worker may have carried them out.
        decisions = Decision.objects.defer("explanation", "reasoning").in_bulk(
            [message.payload["decision_id"] for message in messages]
        )
        work = [(message, decisions[message.payload["decision_id"]]) for message in messages]
        work.sort(key=lambda it: (it[1].close_time, it[1].action != Action.SELL.name, it[0].symbol.symbol, it[0].pk))
        handled, prices = Handled(), dict[tuple[int, str, datetime], Price | None]()
        done = []
        for message, decision in work:
            decision.symbol = message.symbol
            key = decision.symbol_id, decision.interval, decision.close_time
            if key not in prices:
                prices[key] = self.quotes(decision.symbol, decision.interval, decision.close_time)
            if (price := prices[key]) is None:
                handled.deferred.append(message)
                continue
            handled.outgoing.append(self._carry_out(sessions[message.account_id], message, decision, price))
            done.append(decision)
        save(list(sessions.values()))
        Decision.objects.bulk_update(done, ["status", "reason_code", "executed_at"])
        self.activity.record([session.account for session in sessions.values()])
        return handled

    def _carry_out(self, session: AccountSession, message: Message, decision: Decision, price: Price) -> Message:
        symbol, action, order_id = decision.symbol, Action[decision.action], f"decision-{decision.pk}"
        instrument, terms = session.instrument(symbol), session.terms(symbol, price.oldest_seconds)
        session.step("open", symbol, message.interval, decision.close_time)
        tick, lots = instrument.ticks(price.price), instrument.lots(decision.quantity)
        age, before = price_age(decision.close_time, price), session.holding(symbol)
        books, holding, event = at_open(session.books, before, int(action), lots, tick, day_of(price.time), age, terms)
        session.keep(symbol, books, holding)
        decision.executed_at = timezone.now()
        if event.outcome == EXECUTED:
            reason = REASONS[event.reason]
            trade = session.record(event, symbol, price.time, order_id, decision, reason)
            journal.traded(session, trade, reason, message)
            decision.status, decision.reason_code = Decision.Status.EXECUTED, reason
            report = fill_report(trade, order_id, reason, price.time)
        else:
            code = Code(OUTCOMES[event.outcome])
            detail = refusal_text(code, books, before, lots, tick, age, instrument, terms)
            decision.status, decision.reason_code = Decision.Status.SKIPPED, code
            if code not in NOTHING_TO_DO:
                decision.status = Decision.Status.REJECTED
                journal.refused(session, detail, decision, message)
            report = refusal_report(code, detail, action, symbol.symbol, order_id, price.time)
        return self._report(message, session.account, report)

    def give_up(self, message: Message, error: Exception) -> list[Message]:
        """A decision that could not be carried out has FAILED: a later price is not the one it was made for."""
        now = timezone.now()
        failed = {"status": Decision.Status.FAILED, "reason_code": FAILURE, "executed_at": now}
        pending = Decision.objects.filter(pk=message.payload["decision_id"], status=Decision.Status.PENDING)
        if not pending.update(**failed):
            return []
        order_id, action = f"decision-{message.payload['decision_id']}", message.payload["action"]
        report = failure_report(error, action, message.symbol.symbol, order_id, now)
        return [self._report(message, message.account, report)]

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
