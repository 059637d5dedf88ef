"""The Decision Maker: MARKET_SNAPSHOT in; a Decision and a TRADE_DECISION out for every account that follows."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from engine.decide import Decision as Made
from engine.decide import decide, decision_payload
from engine.snapshot import Snapshot
from learning.serving import Answer, Predictor
from trading import journal
from trading.agents.integration import DjangoAgentAdapter, Handled
from trading.desk import Desk, locked_desks, policy_of, save_accounts
from trading.models import Account, AgentType, Decision, Follow, Message, Position, TradingSettings
from trading.protection import enforce


class DecisionMaker:
    """One prediction for a market and a model serves all accounts."""

    def __init__(self, predictor: Predictor, adapter: DjangoAgentAdapter | None = None) -> None:
        self.predictor = predictor
        self.adapter = adapter or DjangoAgentAdapter(AgentType.DECISION_MAKER)

    def work(self) -> int:
        return self.adapter.work(self.handle)

    def handle(self, messages: Sequence[Message]) -> Handled:
        return Handled(outgoing=[made for message in messages for made in self._decide_on(message)])

    def _decide_on(self, message: Message) -> list[Message]:
        snapshot = Snapshot.from_json(message.payload)
        desks = locked_desks(concerned_accounts(message))
        reports = []
        for desk in desks:
            desk.begin_day(snapshot.open_time.date())
            report = enforce(desk, message, snapshot)
            reports += [report] if report else []
            desk.mark(snapshot.symbol, snapshot.values["close"])
        decisions = self._decisions([desk for desk in desks if desk.account.wants_decisions], message, snapshot)
        save_accounts(desks)
        journal.equity(desks, snapshot.close_time)
        journal.active(AgentType.DECISION_MAKER, _unhindered(desks, decisions))
        return reports + decisions

    def decide_for(self, account: Account, message: Message) -> Message | None:
        """The decision of one account on a snapshot that was worked on already. None where there is no model.

        The caller holds a transaction. The protective exits of this candle have had their turn.
        """
        snapshot = Snapshot.from_json(message.payload)
        (desk,) = locked_desks(Account.objects.filter(pk=account.pk))
        if told := self._standing(desk.account, message):
            return told
        desk.begin_day(snapshot.open_time.date())
        desk.mark(snapshot.symbol, snapshot.values["close"])
        decisions = self._decisions([desk], message, snapshot)
        save_accounts([desk])
        self.adapter.publish(decisions)
        journal.active(AgentType.DECISION_MAKER, [desk.account] if decisions else [])
        return self._standing(desk.account, message)

    def _standing(self, account: Account, message: Message) -> Message | None:
        return Message.objects.filter(key=_key(message, account.pk)).first()

    def _decisions(self, desks: Sequence[Desk], message: Message, snapshot: Snapshot) -> list[Message]:
        models = {desk.settings.model_name for desk in desks}
        answers = {model: self.predictor.answer(snapshot, model) for model in models}
        rows, payloads = [], []
        for desk in desks:
            answer = answers[desk.settings.model_name]
            made = None if answer is None else _decided(desk, snapshot, answer)
            if answer is None or made is None:
                journal.without_model(desk.account, message, desk.settings.model_name)
                continue
            payload = decision_payload(made, snapshot, answer.model_type)
            rows.append(_row(desk.account, message, made, payload["reasoning"], answer))
            payloads.append(payload)
        Decision.objects.bulk_create(rows)
        return [self._told(message, row, payload) for row, payload in zip(rows, payloads, strict=True)]

    def _told(self, message: Message, row: Decision, payload: dict[str, Any]) -> Message:
        return self.adapter.message(
            AgentType.EXECUTION,
            Message.Type.TRADE_DECISION,
            {**payload, "decision_id": row.pk},
            key=_key(message, row.account_id),
            symbol=message.symbol,
            interval=message.interval,
            account=row.account,
            caused_by=message,
        )


def _key(snapshot: Message, account: int) -> str:
    return f"decision:{snapshot.pk}:{account}"


def concerned_accounts(message: Message) -> "QuerySet[Account]":
    """Accounts that trade this market (`wants_decisions`), and those that hold the symbol: they stay protected."""
    follows = Follow.objects.filter(account=OuterRef("pk"), symbol=message.symbol, is_active=True)
    holds = Position.objects.filter(account=OuterRef("pk"), symbol=message.symbol, closed_at__isnull=True)
    wants = Q(settings__status=TradingSettings.Status.RUNNING) & Exists(follows)
    accounts = Account.objects.filter(settings__interval=message.interval)
    return (
        accounts.alias(holds=Exists(holds))
        .annotate(wants_decisions=wants)
        .filter(Q(wants_decisions=True) | Q(holds=True))
    )


def _unhindered(desks: Sequence[Desk], decisions: Sequence[Message]) -> list[Account]:
    """All but the accounts that wanted a decision and got none: what hinders them stays on show."""
    decided = {message.account_id for message in decisions}
    return [desk.account for desk in desks if desk.account.pk in decided or not desk.account.wants_decisions]


def _decided(desk: Desk, snapshot: Snapshot, answer: Answer) -> Made | None:
    return decide(snapshot, answer.probabilities, desk.book(), desk.account.equity, policy_of(desk.settings))


def _row(account: Account, message: Message, made: Made, reasoning: str, answer: Answer) -> Decision:
    return Decision(
        account=account,
        symbol=message.symbol,
        interval=message.interval,
        close_time=made.time,
        snapshot=message,
        action=made.action.name,
        confidence=made.confidence,
        risk_score=made.risk_score,
        quantity=made.quantity,
        price=made.price,
        reasoning=reasoning,
        model_type=answer.model_type,
        model_version=answer.version,
        explanation={"probabilities": answer.named_probabilities(), "features": answer.features},
    )
