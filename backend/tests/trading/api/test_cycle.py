import pytest

from market.models import Symbol
from tests.api import problem
from tests.trading.api.markets import API, account_of, body
from tests.trading.api.test_agents import books_add_up
from trading.books.accounts import start_agents
from trading.models import Decision, Follow, Message

CYCLE, LATEST = API + "run-cycle/", API + "market/latest/"


def test_a_cycle_runs_all_three_agents_once(client, played):
    cycle = body(client.post(CYCLE + "?symbol=BTCUSDT"))
    assert set(cycle) == {"cycle_id", "market", "decision", "execution", "logs", "timestamps"}
    assert set(cycle["market"]) == {"timestamp", "ticker", "interval", "ohlcv", "indicators", "analysis"}
    assert cycle["decision"]["status"] == cycle["execution"]["status"] == "executed"
    assert cycle["execution"]["trade"]["decision_id"] == cycle["decision"]["id"]
    assert len(cycle["logs"]) == 3
    assert list(cycle["timestamps"]) == ["started_at", "market", "decision", "execution", "finished_at"]
    assert {str(row.correlation_id) for row in Message.objects.all()} == {cycle["cycle_id"]}
    assert books_add_up()


def test_each_cycle_is_about_the_next_candle(client, played):
    first, second = (body(client.post(CYCLE)) for _ in range(2))
    assert first["market"]["timestamp"] < second["market"]["timestamp"]
    assert Decision.objects.count() == 2


def test_without_a_new_candle_the_outcome_is_that_of_the_last(client, played, monkeypatch: pytest.MonkeyPatch):
    first = body(client.post(CYCLE))
    monkeypatch.setattr(played.source, "closed_after", lambda time: played.source.candles.iloc[:0])
    again = body(client.post(CYCLE))
    assert {key: again[key] for key in ("cycle_id", "market", "decision", "execution")} == {
        key: first[key] for key in ("cycle_id", "market", "decision", "execution")
    }
    assert books_add_up()


def test_it_goes_on_beside_running_agents(client, user, played):
    Follow.objects.exclude(symbol=played.symbol).delete()
    start_agents(account_of(user))
    played.turn(2)
    body(client.post(CYCLE))
    played.turn(2)
    assert Decision.objects.count() == 5
    assert books_add_up()


def test_no_replay_runs_ahead_of_those_traded_beside_it(client, user, played):
    start_agents(account_of(user))
    played.turn(2)
    body(client.post(CYCLE))
    assert Decision.objects.count() == 2


def test_before_a_price_is_known_the_execution_is_pending(client, played, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(played.source, "first_price_after", lambda time: None)
    cycle = body(client.post(CYCLE))
    assert cycle["execution"] == {"status": "pending", "trade": None, "execution_result": None}
    assert "execution" not in cycle["timestamps"]


def test_the_symbol_of_the_settings_is_the_default(client, played):
    played.observe()
    assert body(client.get(LATEST))["ticker"] == "BTCUSDT"
    body(client.patch(API + "settings/", {"symbol": "ETHUSDT"}))
    assert problem(client.get(LATEST)) == (404, "not_found")


def test_a_symbol_without_any_source_says_so(client):
    assert problem(client.post(CYCLE + "?symbol=AAPL")) == (409, "no_market_data")


@pytest.mark.parametrize("symbol", ["NOSUCH", "NaN", "x y", "../x", "%"])
@pytest.mark.parametrize(("method", "address"), [("post", CYCLE), ("get", LATEST)])
def test_what_is_not_followed_is_404(client, played, method, address, symbol):
    assert problem(getattr(client, method)(f"{address}?symbol={symbol}")) == (404, "not_found")


@pytest.mark.parametrize("symbol", ["%00", "A" * 41])
@pytest.mark.parametrize(("method", "address"), [("post", CYCLE), ("get", LATEST)])
def test_what_cannot_be_a_symbol_is_400(client, method, address, symbol):
    assert problem(getattr(client, method)(f"{address}?symbol={symbol}"))[0] == 400


def test_the_latest_snapshot_is_what_the_decision_maker_sees(client, played):
    assert problem(client.get(LATEST + "?symbol=btcusdt")) == (404, "not_found")
    played.observe()
    answer = body(client.get(LATEST + "?symbol=btcusdt"))
    message = Message.objects.get()
    assert answer.pop("message_id") == message.pk
    assert answer.pop("age_seconds") > 0
    assert answer == message.payload


def test_a_snapshot_of_what_is_not_followed_is_404(client, user, played):
    played.observe()
    Follow.objects.filter(symbol=Symbol.objects.get(symbol="BTCUSDT")).delete()
    assert problem(client.get(LATEST + "?symbol=BTCUSDT")) == (404, "not_found")
