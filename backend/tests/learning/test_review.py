"""Champions and challengers over candles that come one after the other."""

import numpy as np
import pandas as pd
import pytest

from engine.labels import UNKNOWN
from engine.orders import Action
from engine.snapshot import market_frame
from learning.models import ModelVersion, Promotion, ShadowAnswer
from learning.promotion import review as review_module
from learning.promotion.review import ShadowRecord, predict_in_shadow, record, review, succeed
from learning.registry.selectors import champion, promotions, serving_candidates
from learning.registry.serving import Predictor
from learning.training.examples import PositionOutcome, examples, with_outcomes
from learning.training.recipes import Recipe
from market.services import store_candles
from tests.learning.made import CANDLES, HISTORY, NAME, bitcoin, candles, registered, snapshot
from tests.markets import assert_same_bits, random_candles

pytestmark = pytest.mark.django_db
STATUS = ModelVersion.Status


def tenure() -> Promotion:
    found = promotions(bitcoin(), "1h", NAME).first()
    assert found is not None
    return found


def close(until: int) -> None:
    """The candles up to that row are stored."""
    store_candles(bitcoin(), "1h", candles().iloc[:until], "test")


@pytest.fixture
def rivals() -> tuple[ModelVersion, ModelVersion]:
    return registered(), registered(seed=1)


def passed(monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """Lowers the e-value that is needed; test_e_values tests the real one."""
    monkeypatch.setattr(review_module, f"{which.upper()}_E_VALUE", 0.0)


def test_both_answer_every_candle_that_neither_was_trained_on(rivals) -> None:
    _, second = rivals
    close(CANDLES)
    assert predict_in_shadow(tenure()) == CANDLES - HISTORY
    rows = list(ShadowAnswer.objects.order_by("open_time"))
    assert [row.open_time for row in rows] == list(candles().index[HISTORY:])
    for place, row in enumerate(rows):
        asked = snapshot(HISTORY + place)
        answer = Predictor().predict(asked, NAME)
        assert answer is not None
        assert_same_bits(np.array(row.champion), answer.probabilities)
        assert row.challenged_by == second
        assert row.challenger != row.champion
    assert predict_in_shadow(tenure()) == 0


def test_labels_are_written_down_when_they_close_and_not_before(rivals) -> None:
    close(HISTORY + 8)
    predict_in_shadow(tenure())
    truths = list(ShadowAnswer.objects.order_by("open_time").values_list("truth", flat=True))
    labels = examples(Recipe(**rivals[0].recipe), market_frame(candles())).labels.values
    assert truths == [int(labels[HISTORY]), int(labels[HISTORY + 1]), int(labels[HISTORY + 2]), *[None] * 5]
    close(CANDLES)
    predict_in_shadow(tenure())
    said = record(tenure())
    assert said.truth.tolist() == labels[HISTORY : CANDLES - 5].tolist()
    assert said.rows.tolist() == list(range(CANDLES - HISTORY - 5))


def test_a_challenger_is_not_asked_about_candles_it_was_trained_on() -> None:
    registered()
    late = registered(seed=1, history=HISTORY + 15)
    close(CANDLES)
    predict_in_shadow(tenure())
    rows = ShadowAnswer.objects.order_by("open_time")
    assert [row.challenged_by for row in rows] == [None] * 15 + [late] * (CANDLES - HISTORY - 15)
    assert np.isnan(record(tenure()).challenger[:15]).all()


def test_a_challenger_that_has_proved_nothing_is_not_promoted(rivals) -> None:
    close(CANDLES)
    assert review(bitcoin(), "1h", NAME) is None
    assert champion(bitcoin(), "1h", NAME) == rivals[0]


def test_the_one_that_has_earned_it_is_promoted_and_its_own_trial_begins_anew(rivals, monkeypatch) -> None:
    passed(monkeypatch, "promotion")
    close(CANDLES - 10)
    change = review(bitcoin(), "1h", NAME)
    assert change is not None
    assert change.is_promotion
    assert champion(bitcoin(), "1h", NAME) == rivals[1]
    assert "nats on" in change.text
    close(CANDLES)
    registered(seed=2)
    assert predict_in_shadow(tenure()) == 10
    assert ShadowAnswer.objects.filter(tenure=tenure()).count() == 10


def test_a_champion_that_is_worse_than_the_class_frequencies_is_rolled_back(rivals, monkeypatch) -> None:
    passed(monkeypatch, "promotion")
    close(CANDLES - 10)
    assert review(bitcoin(), "1h", NAME) is not None
    monkeypatch.undo()
    passed(monkeypatch, "degradation")
    close(CANDLES)
    change = review(bitcoin(), "1h", NAME)
    assert change is not None
    assert not change.is_promotion
    assert champion(bitcoin(), "1h", NAME) == rivals[0]
    assert "predicted better" in change.text


def test_drift_rolls_back_to_nobody_and_the_rolled_back_one_does_not_go_on_deciding(monkeypatch) -> None:
    first = registered()
    monkeypatch.setattr(review_module, "DRIFT_WINDOW", 30)
    monkeypatch.setattr("learning.scores.drift.DRIFT_WINDOW", 30)
    wild = random_candles(60, seed=9)
    moved = wild.assign(volume=wild["volume"] * 1e6)
    moved.index = pd.date_range(candles().index[HISTORY], periods=60, freq="h")
    store_candles(bitcoin(), "1h", pd.concat([candles().iloc[:HISTORY], moved]), "test")
    change = review(bitcoin(), "1h", NAME)
    assert change is not None
    assert "the features have drifted" in change.text
    assert "No model decides now" in change.text
    first.refresh_from_db()
    assert (champion(bitcoin(), "1h", NAME), first.status) == (None, STATUS.RETIRED)
    assert serving_candidates("BTCUSDT", "1h", NAME, before=candles().index[-1].to_pydatetime()) == []
    assert Predictor().predict(snapshot(HISTORY), NAME) is None


def test_where_nobody_decides_a_challenger_has_to_beat_the_class_frequencies(rivals, monkeypatch) -> None:
    review_module.roll_back(rivals[0], "it drifted")
    close(CANDLES)
    assert review(bitcoin(), "1h", NAME) is None
    counts = np.array(rivals[0].class_counts) / sum(rivals[0].class_counts)
    assert ShadowAnswer.objects.first().champion == counts.tolist()
    passed(monkeypatch, "promotion")
    assert review(bitcoin(), "1h", NAME) is not None
    assert champion(bitcoin(), "1h", NAME) == rivals[1]


def test_a_newer_challenger_takes_the_place_of_the_older_ones(rivals) -> None:
    third = registered(seed=2)
    succeed(third)
    rivals[1].refresh_from_db()
    assert (rivals[1].status, third.status, rivals[0].status) == (STATUS.RETIRED, STATUS.CHALLENGER, STATUS.CHAMPION)


def test_without_candles_or_a_model_there_is_nothing_to_review() -> None:
    assert review(bitcoin(), "1h", NAME) is None
    registered()
    assert record(tenure()).rows.size == 0
    assert predict_in_shadow(tenure()) == 0


def test_a_record_keeps_its_columns_together(rivals) -> None:
    close(CANDLES)
    predict_in_shadow(tenure())
    said: ShadowRecord = record(tenure())
    assert len(said.rows) == len(said.champion) == len(said.challenger) == len(said.truth)
    np.testing.assert_allclose(said.champion.sum(axis=1), 1.0)


def learned_from(*pairs: tuple[int, float]) -> np.ndarray:
    known = examples(Recipe(), market_frame(candles()))
    told = [PositionOutcome(candles().index[row].to_pydatetime(), profit) for row, profit in pairs]
    return with_outcomes(known, told).labels.values


def test_a_position_that_earned_is_a_buy_and_one_that_lost_is_none() -> None:
    plain = examples(Recipe(), market_frame(candles())).labels.values
    buy, sell, hold = (int(np.flatnonzero(plain[100:] == it)[0]) + 100 for it in (Action.BUY, Action.SELL, Action.HOLD))
    assert learned_from((sell, 0.02))[sell] == Action.BUY
    assert learned_from((buy, -0.02))[buy] == Action.HOLD
    assert learned_from((sell, -0.02))[sell] == Action.SELL
    assert learned_from((hold, 0.0))[hold] == Action.HOLD
    # Two accounts on one candle count as their mean, in either order.
    assert learned_from((buy, -0.02), (buy, 0.03))[buy] == Action.BUY
    assert np.count_nonzero(learned_from((sell, 0.02)) != plain) == 1


def test_an_outcome_of_an_open_label_or_of_no_candle_changes_nothing() -> None:
    plain = examples(Recipe(), market_frame(candles())).labels.values
    last = CANDLES - 1
    assert plain[last] == UNKNOWN
    assert_same_bits(learned_from((last, 0.5)), plain)
    known = examples(Recipe(), market_frame(candles()))
    elsewhere = (candles().index[5] + pd.Timedelta(minutes=7)).to_pydatetime()
    after = (candles().index[-1] + pd.Timedelta(days=9)).to_pydatetime()
    assert with_outcomes(known, [PositionOutcome(elsewhere, 0.5), PositionOutcome(after, 0.5)]) is known
