"""The Execution Agent: TRADE_DECISION in; through the gate to a fill; one EXECUTION_REPORT out for each."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from database.rows import DECISIONS, fetch
from engine.account import opening_order
from engine.orders import NOTHING_TO_DO, Action, Reason
from market.models import Symbol
from market.sources.replay import Price
from trading.agents import journal
from trading.agents.reports import FAILURE, failure_report, fill_report, refusal_report
from trading.books.session import AccountSession, Refusal, locked_sessions, save
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
        """The decisions of a batch, each under the lock of its account, in `engine.account.opening_order`. A decision
        without a price yet is deferred.
        """
        accounts = sorted({message.account_id for message in messages if message.account_id})
        found = locked_sessions(accounts, {message.symbol for message in messages})
        sessions = {session.account.pk: session for session in found}
        # Read after the lock: until then another worker may have carried them out.
        keys = [message.payload["decision_id"] for message in messages]
        decisions = {row.pk: row for row in fetch(Decision, DECISIONS, ("explanation", "reasoning"), keys=keys)}
        handled, prices = Handled(), dict[tuple[int, str, datetime], Price | None]()
        priced: list[tuple[Message, Decision, Price]] = []
        for message in messages:
            decision = decisions[message.payload["decision_id"]]
            if decision.status != Decision.Status.PENDING:
                raise RuntimeError(f"decision {decision.pk} is {decision.status}, and its message was waiting")
            decision.symbol = message.symbol
            key = decision.symbol_id, decision.interval, decision.close_time
            if key not in prices:
                prices[key] = self.quotes(decision.symbol, decision.interval, decision.close_time)
            if (price := prices[key]) is None:
                handled.deferred.append(message)
            else:
                priced.append((message, decision, price))
        priced.sort(key=lambda it: opening_order(it[2].time.timestamp(), Action[it[1].action], it[0].symbol.symbol))
        for message, decision, price in priced:
            handled.outgoing.append(self._carry_out(sessions[decision.account_id], message, decision, price))
        save(list(sessions.values()))
        now, alike = timezone.now(), defaultdict[tuple[str, str], list[int]](list)
        for _, decision, _ in priced:
            alike[decision.status, decision.reason_code].append(decision.pk)
        for (status, code), outcome_keys in alike.items():
            changed = {"status": status, "reason_code": code, "executed_at": now}
            Decision.objects.filter(pk__in=outcome_keys).update(**changed)
        self.activity.record([session.account for session in sessions.values()])
        return handled

    def _carry_out(self, session: AccountSession, message: Message, decision: Decision, price: Price) -> Message:
        symbol, action, order_id = decision.symbol, Action[decision.action], f"decision-{decision.pk}"
        done = session.execute(
            "open", symbol, message.interval, decision.close_time, action, decision.quantity, price, order_id, decision
        )
        if isinstance(done, Refusal):
            decision.status, decision.reason_code = Decision.Status.SKIPPED, done.code
            if done.code not in NOTHING_TO_DO:
                decision.status = Decision.Status.REJECTED
                journal.refused(session, done.detail, decision, message)
            report = refusal_report(done.code, done.detail, action, symbol.symbol, order_id, price.time)
        else:
            decision.status, decision.reason_code = Decision.Status.EXECUTED, Reason.SIGNAL
            journal.traded(session, done, Reason.SIGNAL, message)
            report = fill_report(done, order_id, Reason.SIGNAL, price.time)
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

    def _report(self, message: Message, account: Account | None, payload: dict[str, Any]) -> Message:
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
