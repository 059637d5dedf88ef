"""A challenger is trained after ten decisions and places no order."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from django.core.management import call_command

from learning.making import Made, make_model
from learning.models import ModelVersion, ShadowAnswer
from learning.outcomes import Outcome
from learning.recipes import Recipe
from learning.selectors import champion
from learning.serving import Predictor
from learning.training import TrainingError
from tests.learning.made import CANDLES, HISTORY, NAME, candles, registered
from tests.trading.markets import PlayedSource, ToldPredictor, market, pipeline, running_account, told
from trading.books.audit import differences
from trading.models import Account, AgentLog, Decision, EquityPoint, Message, Order, Trade
from trading.runtime.pipeline import Pipeline
from trading.training.continuous import completed_pairs, decisions_since, learn, learn_everywhere
from trading.training.trainer import Trainer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick_passwords")]
STATUS = ModelVersion.Status
THRESHOLD = Decimal("0.34")


def small(recipe: Recipe, candles: pd.DataFrame, searched: bool, outcomes: list[Outcome]) -> Made:
    return make_model(Recipe(trees=3, folds=2), candles, searched, outcomes)


def agents(predictor) -> Pipeline:
    return pipeline(PlayedSource(candles(), HISTORY), predictor)


def play(predictor, candles: int) -> None:
    team = agents(predictor)
    for _ in range(candles):
        assert team.process_next(market())


def challengers() -> list[ModelVersion]:
    return list(ModelVersion.objects.filter(status=STATUS.CHALLENGER).order_by("pk"))


def test_after_ten_decisions_and_not_before_a_challenger_is_trained() -> None:
    first = registered()
    running_account()
    play(Predictor(), 9)
    assert learn(market(), NAME, small) is None
    play(Predictor(), 1)
    version = learn(market(), NAME, small)
    assert version is not None
    assert (version.status, version.last_time) == (STATUS.CHALLENGER, candles().index[HISTORY + 9])
    assert champion(version.symbol, "1h", NAME) == first
    assert AgentLog.objects.filter(message__startswith="Trained a challenger").count() == 1


def test_the_count_survives_restarts_and_restarts_with_each_challenger() -> None:
    registered()
    running_account()
    for _ in range(10):
        play(Predictor(), 1)  # Everything in memory is new each time.
    assert learn(market(), NAME, small) is not None
    assert learn(market(), NAME, small) is None
    play(Predictor(), 9)
    assert learn(market(), NAME, small) is None
    play(Predictor(), 1)
    assert learn(market(), NAME, small) is not None
    assert len(challengers()) == 1
    assert ModelVersion.objects.filter(status=STATUS.RETIRED).count() == 1


def test_a_candle_counts_once_however_many_accounts_decide_on_it() -> None:
    version = registered()
    for name in ("ann", "bob", "cid"):
        running_account(f"{name}@example.com")
    play(Predictor(), 4)
    assert Decision.objects.count() == 12
    assert decisions_since(market(), NAME, version.last_time, 10) == 4


def test_a_challenger_changes_no_decision_message_or_order() -> None:
    """The same candles with challengers in shadow, and without: the same rows, to the last digit."""
    registered()
    account = running_account(confidence_threshold=THRESHOLD)
    predictor = Predictor()
    for _ in range(CANDLES - HISTORY):
        play(predictor, 1)
        learn(market(), NAME, small, predictor)
    shadows = ModelVersion.objects.exclude(status=STATUS.CHAMPION)
    assert shadows.count() == 4
    assert ShadowAnswer.objects.filter(challenger__isnull=False).count() >= 25
    assert Order.objects.exists()
    with_shadows = _everything(account)
    hashes = list(shadows.values_list("content_hash", flat=True))
    assert not Decision.objects.filter(model_version__in=hashes).exists()
    assert not [row for row in Message.objects.all() if any(it in str(row.payload) for it in hashes)]
    assert list(differences(Account.objects.all())) == []

    call_command("flush", interactive=False, verbosity=0)
    registered()
    alone = running_account(confidence_threshold=THRESHOLD)
    play(Predictor(), CANDLES - HISTORY)
    assert _everything(alone) == with_shadows


def _everything(account: Account) -> list[list[tuple]]:
    """Decisions, trades and the course of the equity of an account, without keys."""
    own = {"account": account.pk}
    decided = Decision.objects.filter(**own).order_by("close_time")
    columns = (
        "close_time",
        "action",
        "confidence",
        "quantity",
        "status",
        "reason_code",
        "model_version",
        "explanation",
    )
    return [
        [tuple(map(str, row)) for row in decided.values_list(*columns)],
        list(Trade.objects.filter(**own).order_by("timestamp", "pk").values_list("action", "quantity", "price", "pnl")),
        list(EquityPoint.objects.filter(**own).order_by("time").values_list("time", "balance", "equity")),
    ]


def test_profits_are_listed_by_the_candle_of_the_decision() -> None:
    registered()
    running_account(stop_loss=None, take_profit=None)
    said = np.tile([0.1, 0.8, 0.1], (8, 1))
    said[1], said[4], said[5] = [0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]
    play(told(candles().index[HISTORY : HISTORY + 8], said), 8)
    sold = Trade.objects.get(action="SELL")
    (outcome,) = completed_pairs(market())
    assert outcome.open_time == candles().index[HISTORY + 1]
    assert outcome.profit == pytest.approx(float(sold.pnl / sold.cost))


def test_a_challenger_learns_from_positions() -> None:
    version = registered()
    running_account(stop_loss=None, take_profit=None)
    said = np.tile([0.1, 0.8, 0.1], (12, 1))
    said[1], said[4] = [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]
    answers = told(candles().index[HISTORY : HISTORY + 12], said)
    play(answers, 12)
    Decision.objects.update(model_type="random_forest")
    asked: list[list[Outcome]] = []

    def remember(recipe: Recipe, candles: pd.DataFrame, searched: bool, outcomes: list[Outcome]) -> Made:
        asked.append(outcomes)
        return small(recipe, candles, searched, outcomes)

    challenger = learn(market(), NAME, remember)
    assert challenger is not None
    assert challenger.pk != version.pk
    assert [len(outcomes) for outcomes in asked] == [1]


def test_a_model_that_cannot_be_trained_is_logged_once_and_the_champion_stays() -> None:
    first = registered()
    running_account()
    play(Predictor(), 12)

    def fail(*arguments: object) -> Made:
        raise TrainingError("all 30 rows to train on are labelled HOLD")

    for _ in range(3):
        learn_everywhere(fail)
    lines = AgentLog.objects.filter(message__contains="cannot go on learning: all 30 rows")
    assert lines.count() == 1
    assert champion(first.symbol, "1h", NAME) == first


def test_a_promotion_is_logged_and_the_new_champion_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    registered()
    running_account()
    predictor = Predictor()
    play(predictor, 10)
    challenger = learn(market(), NAME, small, predictor)
    play(predictor, 9)
    monkeypatch.setattr("learning.promotion.PROMOTION_EVIDENCE", 0.0)
    learn(market(), NAME, small, predictor)
    assert challenger is not None
    challenger.refresh_from_db()
    assert challenger.status == STATUS.CHAMPION
    assert predictor.is_warm(challenger)
    (line,) = AgentLog.objects.filter(message__startswith="Promoted")
    assert "evidence" in line.message


def test_without_a_first_model_there_is_nothing_to_learn() -> None:
    running_account()
    play(ToldPredictor({}), 2)
    assert learn(market(), NAME, small) is None
    assert not ModelVersion.objects.exists()


def test_the_loop_learns_in_a_thread_of_its_own_when_it_is_time() -> None:
    runs: list[str] = []
    trainer = Trainer(Predictor(), learn=lambda: runs.append("learned"))
    trainer.work()
    assert not runs
    trainer.learned -= 60.0
    trainer.polled -= 60.0
    trainer.work()
    assert trainer.thread is not None
    assert trainer.thread.name == "continuous learning"
    trainer.thread.join(10)
    assert runs == ["learned"]
