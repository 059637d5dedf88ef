from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import F

from learning.choice import DEFAULT_HORIZON, ModelChoice, RecipeError
from learning.models import ModelVersion
from learning.registry.selectors import newest_version
from market.models import Candle, Symbol
from tests.api import problem
from tests.trading.api.markets import API, BUY, HOLD, NONSENSE, SELL, account_of, body
from tests.trading.api.test_agents import books_add_up
from trading.books.accounts import start_agents
from trading.books.session import RULES, rules_of
from trading.models import CashEntry, Decision, EquityPoint, Follow, Position, TradingSettings
from trading.runtime.replay_clock import due
from trading.selectors.markets import watched_markets
from trading.training.trainer import missing_models, recipe_for, wanted_models

SETTINGS = API + "settings/"
DEFAULTS = {
    "status": "stopped",
    "symbol": "BTCUSDT",
    "initialBalance": 10000.0,
    "speed": 0.0,
    "timeframe": "1h",
    "historyLength": None,
    "modelType": "random_forest",
    "predictionHorizon": 5,
    "confidenceThreshold": 0.5,
    "maxPositionSize": 0.5,
    "riskLevel": "medium",
    "stopLoss": 0.05,
    "takeProfit": 0.1,
    "trailingStop": None,
    "maxExposure": None,
    "maxDailyLoss": 0.05,
    "maxDrawdown": 0.25,
    "maxEntriesPerDay": None,
    "maxOpenPositions": None,
    "maxQuoteAgeSeconds": None,
    "killSwitch": False,
    "ruleBasedFallback": True,
    "maxLeverage": 1,
    "dataProvider": "auto",
}


def change(client, **changes):
    return body(client.patch(SETTINGS, changes))


def test_they_have_the_shape_of_the_contract(client):
    settings = body(client.get(SETTINGS))
    assert settings.pop("updatedAt").endswith("Z")
    assert settings == DEFAULTS


def test_put_takes_what_get_gave(client):
    settings = body(client.get(SETTINGS))
    del settings["updatedAt"]
    after = body(client.put(SETTINGS, {**settings, "riskLevel": "low", "trailingStop": 0.02}))
    assert (after["riskLevel"], after["trailingStop"]) == ("low", 0.02)
    assert problem(client.put(SETTINGS, {"riskLevel": "low"})) == (400, "invalid")


def test_one_bad_value_changes_nothing(client):
    assert problem(client.patch(SETTINGS, {"riskLevel": "low", "stopLoss": 2})) == (400, "invalid")
    assert problem(client.patch(SETTINGS, {"riskLevel": "low", "symbol": "NOSUCH"})) == (400, "invalid")
    assert body(client.get(SETTINGS))["riskLevel"] == "medium"


def test_an_unknown_setting_is_named(client):
    answer = client.patch(SETTINGS, {"leverage": 3, "riskLevel": "low"})
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == ["leverage"]
    assert problem(client.patch(SETTINGS, {"updatedAt": "2026-11-20T00:00:00Z"}))[0] == 400


SOUND = {
    "historyLength": [None],
    "trailingStop": [None],
    "stopLoss": [None],
    "takeProfit": [None],
    "maxExposure": [None],
    "maxDailyLoss": [None],
    "maxDrawdown": [None],
    "maxEntriesPerDay": [None, 0],
    "maxOpenPositions": [None, 0],
    "maxQuoteAgeSeconds": [None, 0],
    "killSwitch": [True],
    "ruleBasedFallback": [True],
    "speed": [0, 1.5],
    "confidenceThreshold": [0],
    "initialBalance": [1.5],
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_value_that_cannot_be_is_400(client, name):
    for value in [*NONSENSE, "0.5", 0.00001, 10**400]:
        answer = client.patch(SETTINGS, {name: value})
        if any(value is sound or (value == sound and value is not True) for sound in SOUND.get(name, ())):
            assert answer.status_code == 200, value
        else:
            assert problem(answer)[0] == 400, value
            assert list(answer.json()["fields"]) == [name]


def test_a_body_that_is_no_object_is_400(client):
    for value in NONSENSE:
        answer = client.patch(SETTINGS, value)
        assert answer.status_code == (200 if value in (None, {}) else 400), value


def test_only_ones_own_are_changed(client, stranger):
    change(client, riskLevel="high")
    assert body(stranger.get(SETTINGS))["riskLevel"] == "medium"


def test_status_starts_pauses_and_stops(client, user, played):
    assert change(client, status="running")["status"] == "running"
    assert played.market in watched_markets()
    change(client, status="paused")
    assert played.market in watched_markets()
    played.turn()
    assert not Decision.objects.exists()
    states = [state["status"] for state in body(client.get(API + "agents/status/"))]
    assert states == ["RUNNING", "IDLE", "IDLE"]
    change(client, status="stopped")
    assert watched_markets() == []


def test_policy_and_limits_are_those_that_were_set(client, user):
    change(
        client, confidenceThreshold=0.7, maxPositionSize=0.2, riskLevel="high", stopLoss=None, takeProfit=0.3,
        trailingStop=0.04, maxDailyLoss=0.01, maxDrawdown=None, maxEntriesPerDay=3, maxOpenPositions=2,
        maxQuoteAgeSeconds=60, killSwitch=True, maxExposure=0.75,
    )  # fmt: skip
    settings = TradingSettings.objects.get(account__user=user)
    policy, limits = rules_of(*(getattr(settings, name) for name in RULES))
    assert (policy.confidence_threshold, policy.max_position, policy.risk_per_trade) == (0.7, 0.2, 0.02)
    assert (policy.stop_loss, policy.take_profit, policy.trailing_stop) == (None, 0.3, 0.04)
    assert (limits.max_daily_loss, limits.max_drawdown, limits.max_position) == (Decimal("0.01"), None, Decimal("0.2"))
    assert (limits.max_entries_per_day, limits.max_open_positions, limits.max_quote_age_seconds) == (3, 2, 60)
    assert (limits.kill_switch, limits.max_exposure) == (True, Decimal("0.75"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"killSwitch": True}, "kill_switch"),
        ({"confidenceThreshold": 0.95}, "hold"),
        ({"maxEntriesPerDay": 0}, "entries_per_day"),
        ({"maxOpenPositions": 0}, "open_positions"),
        ({"maxExposure": 0.0001}, "exposure_limit"),
    ],
)
def test_a_setting_keeps_an_entry_from_happening(client, played, changes, reason):
    change(client, status="running", **changes)
    played.turn()
    assert Decision.objects.get().reason_code == reason
    assert not Position.objects.exists()


def test_the_kill_switch_lets_exits_through(client, user, played):
    change(client, status="running", stopLoss=None, takeProfit=None)
    played.turn()
    change(client, killSwitch=True)
    played.says(SELL)
    played.turn()
    assert not Position.objects.filter(closed_at=None).exists()


def test_rules_decide_for_want_of_a_model_only_where_they_are_wanted(client, user, played):
    played.predictor.answers.clear()
    change(client, status="running", ruleBasedFallback=False)
    played.turn()
    assert not Decision.objects.exists()
    change(client, ruleBasedFallback=True)
    played.turn()
    assert Decision.objects.get().model_type == "rule_based"


def test_the_timeframe_says_which_market_is_traded(client, user, played):
    change(client, status="running", timeframe="1d")
    assert {market.interval for market in watched_markets()} == {"1d"}
    played.turn()
    assert not Decision.objects.exists()


def test_the_initial_balance_can_change_until_the_first_order(client, user, played):
    played.says(HOLD)
    change(client, status="running")
    played.turn()
    assert EquityPoint.objects.exists()
    assert change(client, initialBalance=2500.5)["initialBalance"] == 2500.5
    account = account_of(user)
    assert account.cash == account.equity == account.peak_equity == account.day_start_equity == Decimal("2500.50")
    assert CashEntry.objects.last().amount == Decimal("-7499.50")
    assert not EquityPoint.objects.exists()
    assert books_add_up()
    played.says(BUY)
    played.turn()
    assert problem(client.patch(SETTINGS, {"initialBalance": 9000})) == (409, "already_traded")
    assert change(client, initialBalance=2500.5, riskLevel="low")["riskLevel"] == "low"
    assert books_add_up()


def test_the_model_is_chosen_by_type_horizon_and_history(client, user, played, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(played.predictor, "predict", lambda snapshot, wanted: asked.append(wanted))
    start_agents(account_of(user))
    assert wanted_models(played.market) == ["random_forest"]
    change(client, modelType="gradient_boosting", predictionHorizon=12, historyLength=500)
    (name,) = missing_models(played.market)
    recipe = recipe_for(name)
    assert (recipe.algorithm, recipe.horizon, recipe.window) == ("gradient_boosting", 12, 500)
    played.turn()
    assert asked == [name] == ["gradient_boosting:h12:w500"]


def version(symbol: Symbol, number: int, **recipe: object) -> ModelVersion:
    recipe = {"horizon": 5, "window": None, **recipe}
    return ModelVersion.objects.create(
        symbol=symbol,
        interval="1h",
        name=str(ModelChoice("random_forest", recipe["horizon"], recipe["window"])),
        algorithm="random_forest",
        recipe=recipe,
        first_time="2024-01-01T00:00:00Z",
        last_time="2024-01-02T00:00:00Z",
        rows=1,
        content_hash=str(number),
    )


def test_a_model_of_another_horizon_or_history_is_another_model(user):
    symbol = Symbol.objects.get(symbol="BTCUSDT")
    usual, far, short = version(symbol, 1), version(symbol, 2, horizon=12), version(symbol, 3, window=500)
    assert newest_version(symbol, "1h", "random_forest") == usual
    assert newest_version(symbol, "1h", "random_forest:h12") == far
    assert newest_version(symbol, "1h", "random_forest:w500") == short
    assert newest_version(symbol, "1h", "random_forest:h12:w500") is None


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        (ModelChoice("random_forest"), "random_forest"),
        (ModelChoice("random_forest", 12), "random_forest:h12"),
        (ModelChoice("gradient_boosting", DEFAULT_HORIZON, 500), "gradient_boosting:w500"),
        (ModelChoice("gradient_boosting", 1, 100), "gradient_boosting:h1:w100"),
    ],
)
def test_a_choice_and_its_name_are_the_same(choice, name):
    assert str(choice) == name
    assert ModelChoice.named(name) == choice


@pytest.mark.parametrize("name", ["", "x:h", "x:h1.5", "x:w1:h1", "X", "x:h-1"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(RecipeError):
        ModelChoice.named(name)


def test_the_speed_holds_a_replay_back(client, user, played):
    def seconds_pass(seconds: float) -> None:
        Candle.objects.update(first_seen=F("first_seen") - timedelta(seconds=seconds))

    Follow.objects.exclude(symbol=played.symbol).delete()
    change(client, status="running", speed=10)
    played.observe()
    assert due([played.market], played.pipeline) == []
    seconds_pass(9)
    assert due([played.market], played.pipeline) == []
    seconds_pass(1)
    assert due([played.market], played.pipeline) == [played.market]
    played.observe()
    change(client, speed=0)
    assert due([played.market], played.pipeline) == [played.market]


def test_the_default_symbol_has_to_be_followed_and_is_forgotten_with_it(client):
    assert change(client, symbol=" ethusdt ")["symbol"] == "ETHUSDT"
    client.delete(f"{API}symbols/{Symbol.objects.get(symbol='ETHUSDT').pk}/")
    assert body(client.get(SETTINGS))["symbol"] == "BTCUSDT"


def test_it_is_said_when_they_changed(client):
    before = body(client.get(SETTINGS))["updatedAt"]
    TradingSettings.objects.update(updated_at=TradingSettings.objects.get().updated_at - timedelta(hours=1))
    assert change(client, riskLevel="low")["updatedAt"] >= before
