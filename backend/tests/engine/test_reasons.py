import json

import numpy as np
import pytest

from engine.features import FEATURES
from engine.orders import Action
from engine.reasons import Counterfactual, RuleCode, drivers, explanation, reason_text, rule_of
from engine.rules import RuleReasons
from tests.engine.test_rules import row


@pytest.mark.parametrize(
    ("probabilities", "threshold", "code", "text"),
    [
        ((0.2, 0.3, 0.5), 0.5, RuleCode.REACHED, "BUY (0.5000) is the likeliest and reaches the threshold of 0.5"),
        ((0.6, 0.3, 0.1), 0.5, RuleCode.REACHED, "SELL (0.6000) is the likeliest and reaches the threshold of 0.5"),
        ((0.2, 0.3, 0.5), 0.6, RuleCode.BELOW, "BUY (0.5000) is the likeliest, but below the threshold of 0.6"),
        ((0.2, 0.6, 0.2), 0.5, RuleCode.HOLD, "HOLD (0.6000) is the likeliest"),
        ((0.45, 0.1, 0.45), 0.4, RuleCode.TIED, "SELL and BUY are equally likely (0.4500)"),
        ((0.1, 0.45, 0.45), 0.4, RuleCode.TIED, "HOLD and BUY are equally likely (0.4500)"),
    ],
)
def test_it_names_the_rule_that_fired(
    probabilities: tuple[float, ...], threshold: float, code: RuleCode, text: str
) -> None:
    rule = rule_of(np.array(probabilities), threshold)
    assert (rule.code, rule.threshold, rule.text) == (code, threshold, text)


def test_no_rule_fires_without_an_answer() -> None:
    with pytest.raises(ValueError, match="no rule applies"):
        rule_of(np.array([np.nan, 0.5, 0.5]), 0.5)


def test_the_drivers_are_those_that_moved_the_class_most_either_way() -> None:
    shares = np.zeros(len(FEATURES))
    shares[[2, 5, 7, 9]] = 0.01, -0.2, 0.1, 0.001
    assert drivers(shares) == [("rsi14", -0.2), ("macd_hist", 0.1), ("price_change", 0.01)]


def test_it_says_what_drove_the_decision_and_what_would_change_it() -> None:
    why = RuleReasons(row(trend=1.0, strength=0.5, macd=0.8))
    counterfactual = why.counterfactual(0.5)
    assert counterfactual is not None
    assert reason_text(Action.BUY, why, counterfactual) == (
        ". Driven by macd_hist (+0.24), trend (+0.20), strength (+0.10). HOLD if macd_hist were 0.66 instead of 0.8"
    )
    assert reason_text(Action.BUY, RuleReasons(row()), None) == ""


def test_an_explanation_is_plain_json() -> None:
    why = RuleReasons(row(trend=1.0, strength=1.0, macd=1.0))
    counterfactual = Counterfactual("rsi14", 50.0, 70.5, 1.025, Action.HOLD, np.array([0.3, 0.4, 0.3]))
    found = explanation(why.raw, dict.fromkeys(FEATURES, 0.0), why, rule_of(why.raw, 0.5), counterfactual)
    assert json.loads(json.dumps(found)) == found
    full = found["explanation"]
    assert found["contributions"] == dict(zip(FEATURES, full["contributions"]["BUY"], strict=True))
    assert full["rule"] == {
        "code": "reached_threshold",
        "threshold": 0.5,
        "text": "BUY (0.7000) is the likeliest and reaches the threshold of 0.5",
    }
    assert full["counterfactual"]["feature"] == "rsi14"
    assert full["counterfactual"]["decision"] == "HOLD"
    for name in ("SELL", "HOLD", "BUY"):
        total = full["base"][name] + sum(full["contributions"][name])
        assert total == pytest.approx(full["raw_probabilities"][name], abs=1e-9)
