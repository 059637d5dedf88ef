"""Why it was decided so: with every decision, and by whom."""

import json
from decimal import Decimal

import numpy as np
import pytest

from engine.features import FEATURES
from engine.reasons import action_of
from learning.models import ModelArtefact
from learning.services import promote
from learning.serving import Predictor
from tests.learning.made import CANDLES, HISTORY, NAME, bitcoin, candles, registered
from tests.trading.markets import PlayedSource, ToldPredictor, market, pipeline, running_account
from trading.models import AgentLog, AgentState, AgentType, Decision, Message, Order

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick_passwords")]
THRESHOLD = Decimal("0.34")


def play(predictor, turns: int = CANDLES - HISTORY) -> None:
    agents = pipeline(PlayedSource(candles(), HISTORY), predictor)
    for _ in range(turns):
        assert agents.process_next(market())


def maker(account) -> AgentState:
    return AgentState.objects.get(user=account.user_id, agent_type=AgentType.DECISION_MAKER)


def test_every_decision_carries_contributions_that_add_up_to_what_the_model_said() -> None:
    registered()
    running_account(confidence_threshold=THRESHOLD)
    predictor = Predictor()
    play(predictor)
    decisions = list(Decision.objects.order_by("close_time"))
    assert len(decisions) == CANDLES - HISTORY
    assert len({decision.action for decision in decisions}) > 1
    model = predictor.warm(registered())
    for decision in decisions:
        told = decision.explanation
        full = told["explanation"]
        vector = np.array([told["features"][name] for name in FEATURES])
        raw = model.raw(vector.reshape(1, -1))[0]
        for place, name in enumerate(("SELL", "HOLD", "BUY")):
            total = full["base"][name] + sum(full["contributions"][name])
            assert abs(total - raw[place]) < 1e-9
            assert abs(full["raw_probabilities"][name] - raw[place]) < 1e-9
        assert set(told["contributions"]) == set(FEATURES)
        assert [told["contributions"][name] for name in FEATURES] == full["contributions"][decision.action]
        assert full["rule"]["threshold"] == 0.34
        assert json.loads(json.dumps(told)) == told


def test_the_flip_of_a_decision_flips_the_stored_model() -> None:
    registered()
    running_account(confidence_threshold=THRESHOLD)
    predictor = Predictor()
    play(predictor)
    model, flipped = predictor.warm(registered()), 0
    for decision in Decision.objects.all():
        if (flip := decision.explanation["explanation"]["flip"]) is None:
            continue
        changed = np.array([decision.explanation["features"][name] for name in FEATURES])
        assert changed[FEATURES.index(flip["feature"])] == flip["from"]
        changed[FEATURES.index(flip["feature"])] = flip["to"]
        action = action_of(model.calibrated(model.raw(changed.reshape(1, -1)))[0], float(THRESHOLD))
        assert ("SELL", "HOLD", "BUY")[action] == flip["decision"] != decision.action
        flipped += 1
    assert flipped > 5


def test_the_reasoning_begins_as_in_the_specification_and_says_what_drove_it() -> None:
    registered()
    running_account(confidence_threshold=THRESHOLD)
    play(Predictor(), 10)
    for decision in Decision.objects.all():
        assert decision.reasoning.startswith(
            f"{decision.action} decision (confidence: {decision.confidence:.2f}). Trend:"
        )
        told = Message.objects.get(type=Message.Type.TRADE_DECISION, payload__decision_id=decision.pk)
        assert told.payload["reasoning"] == decision.reasoning
    assert any("Driven by" in decision.reasoning for decision in Decision.objects.all())


def test_accounts_of_other_thresholds_get_their_own_rule() -> None:
    registered()
    running_account("ann@example.com", confidence_threshold=THRESHOLD)
    running_account("bob@example.com", confidence_threshold=Decimal("0.9"))
    play(Predictor(), 3)
    for snapshot in Message.objects.filter(type=Message.Type.MARKET_SNAPSHOT):
        ann, bob = Decision.objects.filter(snapshot=snapshot).order_by("account")
        assert [it.explanation["explanation"]["rule"]["threshold"] for it in (ann, bob)] == [0.34, 0.9]
        assert bob.action == "HOLD"
        assert ann.explanation["features"] == bob.explanation["features"]


def test_rules_decide_where_no_model_can_and_are_marked_as_such() -> None:
    account = running_account(rule_based_fallback=True)
    play(ToldPredictor({}), 12)
    decisions = Decision.objects.all()
    assert {(it.model_type, it.model_version) for it in decisions} == {("rule_based", "rules-1")}
    full = decisions[0].explanation["explanation"]
    for name in ("SELL", "HOLD", "BUY"):
        total = full["base"][name] + sum(full["contributions"][name])
        assert total == pytest.approx(full["raw_probabilities"][name], abs=1e-9)
    state = maker(account)
    assert state.metadata == {"rule_based": [f"BTCUSDT 1h {NAME}"]}
    assert (state.status, state.error_message) == ("RUNNING", "")
    lines = AgentLog.objects.filter(agent_type=AgentType.DECISION_MAKER, message__contains="deciding by rules")
    assert lines.count() == 1


def test_a_restart_does_not_tell_it_again_and_a_model_takes_over() -> None:
    account = running_account(rule_based_fallback=True)
    play(ToldPredictor({}), 2)
    play(ToldPredictor({}), 2)
    assert AgentLog.objects.filter(message__contains="deciding by rules").count() == 1
    registered()
    play(Predictor(), 2)
    assert maker(account).metadata == {"rule_based": []}
    assert AgentLog.objects.filter(message="A random_forest model decides on BTCUSDT at 1h again").count() == 1
    assert {it.model_type for it in Decision.objects.order_by("-pk")[:2]} == {"random_forest"}


def test_a_damaged_model_is_replaced_by_rules_and_not_by_silence() -> None:
    ModelArtefact.objects.filter(version=registered()).update(content=b"damaged")
    running_account(rule_based_fallback=True)
    play(Predictor(), 2)
    assert {it.model_type for it in Decision.objects.all()} == {"rule_based"}


def test_without_rules_and_a_model_nothing_is_decided() -> None:
    account = running_account(rule_based_fallback=False)
    play(ToldPredictor({}), 2)
    assert not Decision.objects.exists()
    assert maker(account).error_message == f"Cannot decide: no {NAME} model for BTCUSDT at 1h yet"


def test_the_model_goes_before_the_rules() -> None:
    registered()
    running_account(rule_based_fallback=True)
    promote(registered(seed=1), "for the test")
    play(Predictor(), 3)
    assert {it.model_version for it in Decision.objects.all()} == {registered(seed=1).content_hash}
    assert bitcoin().symbol == "BTCUSDT"
    assert Order.objects.count() <= 3
