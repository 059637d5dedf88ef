"""The Decision Maker: MARKET_SNAPSHOT in; a Decision and a TRADE_DECISION out for every account that follows."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from database.rows import insert
from engine.decide import choose, decision_payload, reasoning
from engine.orders import NO_DECISION, Action, Reason
from engine.snapshot import Snapshot
from learning.explanation.reasons import Explained, explained, reasons_of
from learning.registry.serving import Prediction, Predictor, rule_prediction
from trading.agents import journal
from trading.agents.fallback import FallbackNotes
from trading.agents.reports import fill_report
from trading.books.session import AccountSession, concerned_sessions, locked_sessions, save
from trading.messages.adapter import DjangoAgentAdapter, Handled
from trading.models import Account, AgentType, Decision, EquityPoint, Message, TradingSettings

# Their accounts are locked until all of them are decided on.
MARKETS_AT_ONCE = 25

RUNNING = TradingSettings.Status.RUNNING


class Choice(NamedTuple):
    """What one prediction means at one threshold, and why."""

    action: Action
    confidence: float
    prediction: Prediction
    why: Explained


class Observed(NamedTuple):
    """A message with what it says; `closed` is the close of its candle."""

    message: Message
    snapshot: Snapshot
    closed: datetime

    @classmethod
    def of(cls, message: Message) -> "Observed":
        snapshot = Snapshot.from_json(message.payload)
        return cls(message, snapshot, snapshot.close_time)


class DecisionMaker:
    """One prediction for a market and a model serves all accounts."""

    def __init__(self, predictor: Predictor, adapter: DjangoAgentAdapter | None = None) -> None:
        self.predictor = predictor
        self.adapter = adapter or DjangoAgentAdapter(AgentType.DECISION_MAKER)
        self.activity = journal.Activity(AgentType.DECISION_MAKER)
        self.rules = FallbackNotes()

    def work(self) -> int:
        return self.adapter.work(self.handle, MARKETS_AT_ONCE)

    def handle(self, messages: Sequence[Message]) -> Handled:
        """All markets of the batch, on accounts that are locked once and in one order.

        Of one moment all markets of the batch are closed before the first of them is decided on.
        """
        sessions = concerned_sessions(messages)
        observed = [Observed.of(message) for message in messages]
        observed.sort(key=lambda it: (it.closed, it.snapshot.symbol, it.message.pk))
        outgoing: list[Message] = []
        decisions: list[tuple[Observed, Decision]] = []
        hindered: set[int] = set()
        for _, group in groupby(observed, key=lambda it: it.closed):
            moment = list(group)
            for market in moment:
                for session in sessions:
                    if _is_concerned(session, market.message):
                        outgoing += self._close(session, market)
            for market in moment:
                deciding = [session for session in sessions if _decides(session, market.message)]
                decided = self._decide(deciding, market)
                decisions += [(market, row) for row in decided]
                hindered |= {it.account.pk for it in deciding} - {row.account_id for row in decided}
        outgoing += self._written(decisions)
        save(sessions)
        self.activity.record([session.account for session in sessions if session.account.pk not in hindered])
        return Handled(outgoing)

    def decide_for(self, account: Account, message: Message) -> Message | None:
        """The decision of one account on a snapshot that was worked on already. None where there is no model.

        The caller holds a transaction. An account that holds the symbol was valued at this close before.
        """
        market = Observed.of(message)
        (session,) = locked_sessions([account.pk], [message.symbol])
        key = decision_key(message, account.pk)
        if (stored := Message.objects.filter(key=key).first()) is not None:
            return stored
        if not EquityPoint.objects.filter(account=account, time=market.closed).exists():
            self._close(session, market)
        messages = self._written([(market, row) for row in self._decide([session], market)])
        save([session])
        self.adapter.publish(messages)
        self.activity.record([session.account] if messages else [])
        return Message.objects.filter(key=key).first()

    def _close(self, session: AccountSession, market: Observed) -> list[Message]:
        """The account meets a candle; the report of a protective exit."""
        message, snapshot, closed = market
        trade = session.close(message.symbol, snapshot, closed)
        if trade is None:
            return []
        order, account = trade.order, session.account
        reason = Reason(order.reason)
        journal.traded(session, trade, reason, message)
        report = self.adapter.message(
            "",
            Message.Type.EXECUTION_REPORT,
            fill_report(trade, order.client_order_id, reason, closed),
            key=f"exit:{message.pk}:{account.pk}",
            symbol=message.symbol,
            interval=message.interval,
            account=account,
            caused_by=message,
        )
        report.sender = AgentType.EXECUTION
        return [report]

    def _decide(self, sessions: Sequence[AccountSession], market: Observed) -> list[Decision]:
        """What each of these accounts decides, not written yet. The model is asked once, and equal settings choose
        equally. An account whose model cannot serve gets no decision.
        """
        message, snapshot, _ = market
        models = {session.model_name for session in sessions}
        answers = {model: self.predictor.predict(snapshot, model) for model in models}
        by_rules = rule_prediction(snapshot) if None in answers.values() else None
        choices: dict[tuple[str, bool, float], Choice | None] = {}
        decided, without_model = [], []
        for session in sessions:
            model, threshold = session.model_name, session.policy.confidence_threshold
            falls_back = answers[model] is None and session.settings.rule_based_fallback
            key = model, falls_back, threshold
            if key not in choices:
                choices[key] = chosen(by_rules if falls_back else answers[model], threshold)
            choice = choices[key]
            if choice is None:
                without_model.append(session)
            else:
                decided.append(_decision(session, market, choice))
        for model, answer in answers.items():
            if lacking := [it.account for it in without_model if it.model_name == model]:
                journal.without_model(lacking, message, model)
            lacking_keys = {account.pk for account in lacking}
            served = [it.account for it in sessions if it.model_name == model and it.account.pk not in lacking_keys]
            self.rules.record(served, message, model, answer)
        return decided

    def _written(self, decided: Sequence[tuple[Observed, Decision]]) -> list[Message]:
        insert([row for _, row in decided])
        return [self._message(market, row) for market, row in decided]

    def _message(self, market: Observed, row: Decision) -> Message:
        message, snapshot, _ = market
        payload = decision_payload(
            Action[row.action], row.confidence, row.risk_score, row.quantity, row.reasoning, snapshot, row.model_type
        )
        if "data_age_seconds" in message.payload:
            # How old the candle of a live market was when it was decided on; a candle of the past has no age.
            payload["data_age_seconds"] = round(max((row.created_at - row.close_time).total_seconds(), 0.0), 3)
        return self.adapter.message(
            AgentType.EXECUTION,
            Message.Type.TRADE_DECISION,
            {**payload, "decision_id": row.pk},
            key=decision_key(message, row.account_id),
            symbol=message.symbol,
            interval=message.interval,
            account=row.account,
            caused_by=message,
        )


def decision_key(snapshot: Message, account: int) -> str:
    return f"decision:{snapshot.pk}:{account}"


def chosen(answer: Prediction | None, threshold: float) -> Choice | None:
    """None where the model has no answer."""
    if answer is None:
        return None
    actions, confidence = choose(answer.probabilities.reshape(1, 3), threshold)
    if actions[0] == NO_DECISION:
        return None
    why = explained(answer, reasons_of(answer), threshold)
    return Choice(Action(int(actions[0])), float(confidence[0]), answer, why)


def _decision(session: AccountSession, market: Observed, choice: Choice) -> Decision:
    message, snapshot, closed = market
    action, confidence, prediction, why = choice
    quantity, risk = session.decide(snapshot.symbol, snapshot, closed, action, confidence)
    return Decision(
        account=session.account,
        symbol=message.symbol,
        interval=message.interval,
        close_time=closed,
        snapshot=message,
        action=action.name,
        confidence=confidence,
        risk_score=risk,
        quantity=quantity,
        price=snapshot.values["close"],
        reasoning=reasoning(action, confidence, snapshot) + why.words,
        model_type=prediction.model_type,
        model_version=prediction.version,
        explanation=why.facts,
    )


def _decides(session: AccountSession, message: Message) -> bool:
    running = session.settings.status == RUNNING
    return running and session.settings.interval == message.interval and message.symbol_id in session.followed


def _is_concerned(session: AccountSession, message: Message) -> bool:
    holds = session.settings.interval == message.interval and message.symbol.symbol in session.positions
    return holds or _decides(session, message)
