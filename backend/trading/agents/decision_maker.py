"""The Decision Maker: MARKET_SNAPSHOT in; a Decision and a TRADE_DECISION out for every account that follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.decide import NO_DECISION, Close, choose, decision_on, decision_payload
from engine.decide import Decision as Made
from engine.orders import Action
from engine.reasons import Reasons
from engine.snapshot import Snapshot
from learning.explanation.reasons import Explained, explained, reasons_of
from learning.registry.serving import Prediction, Predictor, rule_prediction
from market.statements import Inserted, WithKey, among
from trading.agents import journal
from trading.agents.fallback import FallbackNotes
from trading.agents.protection import enforce
from trading.books.session import Desk, desks_of, locked_desks, save_accounts
from trading.messages.adapter import DjangoAgentAdapter, Handled
from trading.models import Account, AgentType, Decision, EquityPoint, Message, TradingSettings

DECISIONS = Inserted(Decision)

CONCERNED = """account.id IN (
    SELECT follow.account_id FROM trading_message AS told
    JOIN trading_follow AS follow ON follow.symbol_id = told.symbol_id AND follow.is_active
    JOIN trading_tradingsettings AS own
        ON own.account_id = follow.account_id AND own.interval = told.interval AND own.status = 'running'
    WHERE {told}
    UNION
    SELECT held.account_id FROM trading_message AS told
    JOIN trading_position AS held ON held.symbol_id = told.symbol_id AND held.closed_at IS NULL
    JOIN trading_tradingsettings AS own ON own.account_id = held.account_id AND own.interval = told.interval
    WHERE {told}
)"""

# Their accounts are locked until all of them are decided on.
MARKETS_AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Wanted:
    """A decision that a desk wanted, not written yet; without a row where no model could answer."""

    desk: Desk
    message: Message
    row: Decision | None = None
    payload: dict[str, Any] = field(default_factory=dict)


class Choices:
    """What the answers to one snapshot mean at the thresholds of the accounts."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        values = snapshot.values
        self._close = Close(snapshot.symbol, snapshot.close_time, values["close"], values["volatility"])
        self._known: dict[tuple[int, float], tuple[int, float]] = {}
        self._reasons: dict[int, Reasons | None] = {}
        self._explained: dict[tuple[int, float], Explained] = {}

    def decision(self, desk: Desk, answer: Prediction) -> Made | None:
        """As `engine.decide.decide` makes it."""
        key = id(answer), desk.policy.confidence_threshold
        if key not in self._known:
            actions, confidence = choose(answer.probabilities.reshape(1, 3), desk.policy.confidence_threshold)
            self._known[key] = int(actions[0]), float(confidence[0])
        action, sure = self._known[key]
        if action == NO_DECISION:
            return None
        return decision_on(self._close, Action(action), sure, desk.book(), desk.account.equity, desk.policy)

    def explained(self, desk: Desk, answer: Prediction) -> Explained:
        """Why it was decided so: once for a model, and once for each threshold."""
        key = id(answer), desk.policy.confidence_threshold
        if key not in self._explained:
            if id(answer) not in self._reasons:
                self._reasons[id(answer)] = reasons_of(answer)
            self._explained[key] = explained(answer, self._reasons[id(answer)], desk.policy.confidence_threshold)
        return self._explained[key]

    @cached_property
    def by_rules(self) -> Prediction:
        return rule_prediction(self.snapshot)


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
        """All markets of the batch, one after the other, on accounts that are locked once and in one order."""
        desks = locked_desks(*concerned_accounts(messages), [message.symbol_id for message in messages])
        points: list[EquityPoint] = []
        reports: list[Message] = []
        wanted: list[Wanted] = []
        for message in messages:
            snapshot = Snapshot.from_json(message.payload)
            present = [desk for desk in desks if _is_concerned(desk, message)]
            for desk in present:
                desk.begin_day(snapshot.open_time.date())
                report = enforce(desk, message, snapshot)
                reports += [report] if report else []
                desk.mark(snapshot.symbol, snapshot.values["close"])
                points.append(journal.valued(desk, snapshot.close_time))
            deciding = [desk for desk in present if _decides(desk, message)]
            wanted += self._decisions(deciding, message, snapshot)
        decisions = self._written(wanted)
        save_accounts(desks)
        journal.equity(points)
        hindered = {item.desk.account.pk for item in wanted if item.row is None}
        self.activity.tell([it.account for it in desks if it.account.pk not in hindered])
        return Handled(outgoing=reports + decisions)

    def decide_for(self, account: Account, message: Message) -> Message | None:
        """The decision of one account on a snapshot that was worked on already. None where there is no model.

        The caller holds a transaction. The protective exits of this candle have had their turn.
        """
        snapshot = Snapshot.from_json(message.payload)
        (desk,) = desks_of([account.pk])
        if told := self._standing(desk.account, message):
            return told
        desk.begin_day(snapshot.open_time.date())
        desk.mark(snapshot.symbol, snapshot.values["close"])
        decisions = self._written(self._decisions([desk], message, snapshot))
        save_accounts([desk])
        self.adapter.publish(decisions)
        self.activity.tell([desk.account] if decisions else [])
        return self._standing(desk.account, message)

    def _standing(self, account: Account, message: Message) -> Message | None:
        return Message.objects.filter(key=_key(message, account.pk)).first()

    def _decisions(self, desks: Sequence[Desk], message: Message, snapshot: Snapshot) -> "list[Wanted]":
        """What each of these desks decides. The model is asked once, and equal settings choose equally."""
        answers = {model: self.predictor.predict(snapshot, model) for model in {it.settings.model_name for it in desks}}
        choices = Choices(snapshot)
        wanted = [_decided(desk, message, choices, _answer(desk, choices, answers)) for desk in desks]
        for model in answers:
            mine = [it for it in wanted if it.desk.settings.model_name == model]
            if without := [it.desk.account for it in mine if it.row is None]:
                journal.without_model(without, message, model)
            self.rules.tell([it.desk.account for it in mine if it.row is not None], message, model, answers[model])
        return wanted

    def _written(self, wanted: "Sequence[Wanted]") -> list[Message]:
        rows = [item.row for item in wanted if item.row]
        DECISIONS.insert(rows)
        return [self._told(item.message, item.row, item.payload) for item in wanted if item.row]

    def _told(self, message: Message, row: Decision, payload: dict[str, Any]) -> Message:
        return self.adapter.message(
            AgentType.EXECUTION,
            Message.Type.TRADE_DECISION,
            WithKey({**payload, **_live_age(message, row)}, "decision_id", row),
            key=_key(message, row.account_id),
            symbol=message.symbol,
            interval=message.interval,
            account=row.account,
            caused_by=message,
        )


def _live_age(message: Message, row: Decision) -> dict[str, float]:
    """How old the candle of a live market was when it was decided on; a candle of the past has no age."""
    if "data_age_seconds" not in message.payload:
        return {}
    return {"data_age_seconds": round(max((row.created_at - row.close_time).total_seconds(), 0.0), 3)}


def _key(snapshot: Message, account: int) -> str:
    return f"decision:{snapshot.pk}:{account}"


def concerned_accounts(messages: Sequence[Message]) -> tuple[str, list[Any]]:
    """Accounts that trade one of these markets, and those that hold its symbol: they stay protected. As a condition."""
    told, parameters = among("told.id", [message.pk for message in messages])
    return CONCERNED.format(told=told), parameters * 2


def _decides(desk: Desk, message: Message) -> bool:
    running = desk.settings.status == TradingSettings.Status.RUNNING
    return running and desk.settings.interval == message.interval and message.symbol_id in desk.followed


def _is_concerned(desk: Desk, message: Message) -> bool:
    holds = desk.settings.interval == message.interval and message.symbol.symbol in desk.positions
    return holds or _decides(desk, message)


def _decided(desk: Desk, message: Message, choices: Choices, answer: Prediction | None) -> Wanted:
    made = None if answer is None else choices.decision(desk, answer)
    if answer is None or made is None:
        return Wanted(desk, message)
    payload = decision_payload(made, choices.snapshot, answer.model_type)
    why = choices.explained(desk, answer)
    payload["reasoning"] += why.words
    return Wanted(desk, message, _row(desk.account, message, made, payload["reasoning"], answer, why.facts), payload)


def _answer(desk: Desk, choices: Choices, answers: Mapping[str, Prediction | None]) -> Prediction | None:
    """The model's; the rules' where no model can serve and the account wants them."""
    answer = answers[desk.settings.model_name]
    return choices.by_rules if answer is None and desk.settings.rule_based_fallback else answer


def _row(
    account: Account, message: Message, made: Made, reasoning: str, answer: Prediction, facts: dict[str, Any]
) -> Decision:
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
        explanation=facts,
    )
