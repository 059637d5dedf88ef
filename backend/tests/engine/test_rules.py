import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import rules
from engine.features import FEATURES, FeatureForm, feature_matrix
from engine.orders import Action
from engine.reasons import action_of
from engine.snapshot import market_frame
from tests.markets import Array, random_candles


def row(trend: float = 0.0, strength: float = 0.0, rsi: float = 50.0, macd: float = 0.0) -> Array:
    vector = np.zeros(len(FEATURES))
    named = {"trend": trend, "strength": strength, "rsi14": rsi, "macd_hist": macd, "volatility": 5.0}
    for name, value in named.items():
        vector[FEATURES.index(name)] = value
    return vector


rows = st.builds(
    row, st.sampled_from([-1.0, 0.0, 1.0]), st.floats(0, 1), st.floats(0, 100), st.floats(-10, 10)
)  # fmt: skip


def answer(vector: Array) -> Array:
    return rules.probabilities(vector[None, :])[0]


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        (row(), (0.0, 1.0, 0.0)),
        (row(trend=1.0, strength=1.0, macd=1.0), (0.0, 0.3, 0.7)),
        (row(trend=-1.0, strength=0.5, macd=-0.5), (0.45, 0.55, 0.0)),
        (row(trend=-1.0, rsi=70.0), (0.5, 0.5, 0.0)),
        (row(rsi=20.0), (0.0, 0.7, 0.3)),
        (row(trend=1.0, strength=1.0, rsi=80.0, macd=-3.0), (0.6, 0.0, 0.4)),
    ],
)
def test_trend_rsi_and_macd_move_their_weight(vector: Array, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(answer(vector), expected, atol=1e-12)


@given(rows)
def test_the_scores_are_probabilities_and_their_own_contributions(vector: Array) -> None:
    probabilities, why = answer(vector), rules.RuleReasons(vector)
    assert probabilities.min() >= -1e-12
    assert probabilities.sum() == pytest.approx(1.0)
    assert np.abs(why.base + why.contributions.sum(axis=0) - probabilities).max() < 1e-9
    np.testing.assert_array_equal(why.raw, probabilities)


@given(rows, st.sampled_from([0.0, 0.3, 0.5]))
def test_the_stated_flip_flips_the_rules(vector: Array, threshold: float) -> None:
    now, counterfactual = action_of(answer(vector), threshold), rules.RuleReasons(vector).counterfactual(threshold)
    if counterfactual is not None:
        changed = vector.copy()
        changed[FEATURES.index(counterfactual.name)] = counterfactual.value
        assert action_of(answer(changed), threshold) == counterfactual.action != now


@given(rows)
def test_up_and_down_are_treated_alike(vector: Array) -> None:
    mirrored = vector * 1.0
    for name in ("trend", "macd_hist"):
        mirrored[FEATURES.index(name)] *= -1.0
    mirrored[FEATURES.index("rsi14")] = 100.0 - vector[FEATURES.index("rsi14")]
    np.testing.assert_allclose(answer(mirrored)[::-1], answer(vector), atol=1e-12)


@given(rows)
def test_one_rule_alone_never_buys_or_sells_at_one_half(vector: Array) -> None:
    scores = rules.scores(vector[None, :])[0]
    trend, momentum = abs(scores[0] + scores[1]) > 0, abs(scores[2:]) > 0
    if trend + momentum.sum() < 2:
        assert action_of(answer(vector), 0.5) == Action.HOLD


def test_a_market_that_stands_still_is_held() -> None:
    vector = row()
    vector[FEATURES.index("volatility")] = 0.0
    assert action_of(answer(vector), 0.0) == Action.HOLD
    assert rules.RuleReasons(vector).counterfactual(0.5) is None


def test_one_row_and_many_give_the_same_bits() -> None:
    matrix = feature_matrix(market_frame(random_candles(400)), FeatureForm.CLASSIC)
    matrix = matrix[np.isfinite(matrix).all(axis=1)]
    one_by_one = np.concatenate([rules.probabilities(matrix[i : i + 1]) for i in range(len(matrix))])
    np.testing.assert_array_equal(rules.probabilities(matrix), one_by_one)
    assert {action_of(probabilities, 0.5) for probabilities in one_by_one} == {0, 1, 2}
