import pytest

from market.errors import MarketError
from market.sources.replay import ReplaySource
from tests.api import api_client, make_user, problem
from tests.trading.api.markets import API, BUY, HOLD, NONSENSE, account_of, body, results
from trading.books.accounts import start_agents
from trading.books.audit import differences
from trading.models import Account, AgentLog, AgentState, Decision, Follow, Message, Trade
from trading.runtime import on_demand
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import watched_markets

AGENTS = API + "agents/"
STATE = {"id", "agent_type", "status", "last_activity", "error_message", "metadata", "updated_at"}


def decide(client, played, status: int = 201):
    return body(client.post(AGENTS + "decision-maker/", {"symbol_id": played.symbol.pk}), status)


def execute(client, decision_id: int, status: int = 200):
    return body(client.post(AGENTS + "execution/", {"decision_id": decision_id}), status)


def books_add_up() -> bool:
    return list(differences(Account.objects.all())) == []


def test_states_come_in_the_order_of_the_work(client):
    states = body(client.get(AGENTS + "status/"))
    assert [state["agent_type"] for state in states] == ["MARKET_MONITOR", "DECISION_MAKER", "EXECUTION"]
    assert all(set(state) == STATE for state in states)
    for state, name in zip(states, ["market-monitor", "decision-maker", "execution"], strict=True):
        assert body(client.get(f"{AGENTS}{name}/")) == state


def test_start_and_stop_are_real_and_may_be_repeated(client, user):
    def ask(action: str) -> dict[str, str]:
        return body(client.post(AGENTS + "market-monitor/", {"action": action}))

    assert watched_markets() == []
    started, again = ask("start"), ask("start")
    assert started["status"] == again["status"] == "started"
    assert started["message"] != again["message"]
    assert len(watched_markets()) == 15
    assert {state["status"] for state in body(client.get(AGENTS + "status/"))} == {"RUNNING"}
    assert ask("stop")["status"] == ask("stop")["status"] == "stopped"
    assert watched_markets() == []
    assert account_of(user).settings.status == "stopped"


def test_starting_starts_only_ones_own_agents(client, stranger):
    body(client.post(AGENTS + "market-monitor/", {"action": "start"}))
    assert {state["status"] for state in body(stranger.get(AGENTS + "status/"))} == {"STOPPED"}


@pytest.mark.parametrize(
    ("agent", "key"), [("market-monitor", "action"), ("decision-maker", "symbol_id"), ("execution", "decision_id")]
)
def test_bad_bodies_are_400(client, agent, key):
    for value in NONSENSE:
        assert problem(client.post(f"{AGENTS}{agent}/", {key: value}))[0] == 400
        assert problem(client.post(f"{AGENTS}{agent}/", value))[0] == 400


@pytest.mark.parametrize("number", [999_999, 2**63 - 1])
def test_unknown_ids_are_404(client, number):
    assert problem(client.post(AGENTS + "decision-maker/", {"symbol_id": number})) == (404, "not_found")
    assert problem(client.post(AGENTS + "execution/", {"decision_id": number})) == (404, "not_found")


def test_a_decision_is_asked_for(client, played):
    played.observe()
    made = decide(client, played)
    assert (made["symbol"], made["decision"], made["confidence"], made["status"]) == ("BTCUSDT", "BUY", 90.0, "pending")
    assert set(made["metadata"]) >= {"model_type", "model_version", "probabilities", "risk_score", "features"}
    told = Message.objects.get(type="TRADE_DECISION")
    assert told.payload["decision_id"] == made["id"]
    assert told.caused_by == Message.objects.get(type="MARKET_SNAPSHOT")


def test_a_snapshot_is_decided_on_once(client, played):
    played.observe()
    made = decide(client, played)
    assert decide(client, played, 200) == made
    assert Decision.objects.count() == Message.objects.filter(type="TRADE_DECISION").count() == 1


def test_a_running_account_gets_the_agents_own_decision(client, user, played):
    start_agents(account_of(user))
    played.observe()
    made = decide(client, played)
    played.pipeline.drain()
    assert Decision.objects.get().pk == made["id"]
    assert Decision.objects.get().status == "executed"
    played.turn(3)
    assert books_add_up()


def test_it_serves_the_other_accounts_of_the_snapshot_too(client, played):
    other = account_of(make_user())
    start_agents(other)
    played.observe()
    decide(client, played)
    assert Decision.objects.filter(account=other).count() == 1


def test_an_older_snapshot_goes_first(client, user, played):
    start_agents(account_of(user))
    played.observe()
    played.observe()
    answer = client.post(AGENTS + "decision-maker/", {"symbol_id": played.symbol.pk})
    assert problem(answer) == (409, "agents_busy")
    assert not Decision.objects.exists()


def test_without_a_snapshot_or_a_model_it_says_so(client, played):
    address, wanted = AGENTS + "decision-maker/", {"symbol_id": played.symbol.pk}
    assert problem(client.post(address, wanted)) == (409, "no_snapshot")
    body(client.patch(API + "settings/", {"ruleBasedFallback": False}))
    played.predictor.answers.clear()
    played.observe()
    assert problem(client.post(address, wanted)) == (409, "no_model")
    (state,) = AgentState.objects.filter(status="ERROR")
    assert state.agent_type == "DECISION_MAKER"


def test_a_decision_on_a_symbol_of_others_is_404(client, played):
    played.observe()
    Follow.objects.filter(symbol=played.symbol).delete()
    assert problem(client.post(AGENTS + "decision-maker/", {"symbol_id": played.symbol.pk})) == (404, "not_found")


def test_a_decision_is_carried_out_once(client, played):
    played.observe()
    made = decide(client, played)
    done = execute(client, made["id"])
    assert set(done) == {"status", "trade", "execution_result"}
    assert done["status"] == done["execution_result"]["status"] == "executed"
    assert done["trade"]["decision_id"] == made["id"]
    assert done["trade"]["price"] > done["trade"]["requested_price"]
    assert execute(client, made["id"]) == done
    played.pipeline.drain()
    assert Trade.objects.count() == 1
    assert books_add_up()


def test_a_hold_is_skipped(client, played):
    played.says(HOLD)
    played.observe()
    done = execute(client, decide(client, played)["id"])
    assert (done["status"], done["trade"]) == ("skipped", None)
    assert done["execution_result"]["reason_code"]


def test_what_the_limits_forbid_is_rejected(client, played):
    body(client.patch(API + "settings/", {"killSwitch": True}))
    played.observe()
    done = execute(client, decide(client, played)["id"])
    assert (done["status"], done["execution_result"]["reason_code"]) == ("rejected", "kill_switch")


def test_what_the_agents_did_is_answered_too(client, user, played):
    start_agents(account_of(user))
    played.turn()
    assert execute(client, Decision.objects.get().pk)["status"] == "executed"


def test_without_a_price_the_decision_stays_pending(client, played, monkeypatch: pytest.MonkeyPatch):
    played.observe()
    made = decide(client, played)
    monkeypatch.setattr(played.source, "first_price_after", lambda time: None)
    address, wanted = AGENTS + "execution/", {"decision_id": made["id"]}
    assert problem(client.post(address, wanted)) == (409, "decision_pending")
    assert Decision.objects.get().status == "pending"


def test_without_a_source_it_says_so_and_names_no_folder(client, played, monkeypatch: pytest.MonkeyPatch):
    played.observe()
    made = decide(client, played)
    monkeypatch.setattr(on_demand, "agents", lambda: Pipeline(sources=ReplaySource.of_file))
    answer = client.post(AGENTS + "execution/", {"decision_id": made["id"]})
    assert problem(answer) == (409, "no_market_data")
    assert "/" not in answer.json()["detail"]
    assert Message.objects.get(type="TRADE_DECISION").attempts == 0


def test_a_source_that_is_down_is_503(client, played, monkeypatch: pytest.MonkeyPatch):
    class Down(MarketError):
        retry_helps = True

    def fail(time: object) -> None:
        raise Down("refused by 10.0.0.7")

    played.observe()
    made = decide(client, played)
    monkeypatch.setattr(played.source, "first_price_after", fail)
    answer = client.post(AGENTS + "execution/", {"decision_id": made["id"]})
    assert problem(answer) == (503, "source_down")
    assert answer["Retry-After"] == "60"
    assert Decision.objects.get().status == "pending"


def test_somebody_elses_decision_is_404(client, stranger, played):
    played.observe()
    made = decide(client, played)
    assert problem(stranger.post(AGENTS + "execution/", {"decision_id": made["id"]})) == (404, "not_found")
    assert Decision.objects.get().status == "pending"


def test_details_show_what_the_agents_did(client, user, played):
    start_agents(account_of(user))
    played.turn(2)
    AgentLog.objects.bulk_create(AgentLog(user=user, agent_type="MARKET_MONITOR", message=f"{n}") for n in range(12))
    market, decision, execution = body(client.get(AGENTS + "detail/"))
    assert set(market) == {
        "id", "type", "name", "status", "lastAction", "lastUpdated", "messagesProcessed", "logs", "recentDecisions",
        "currentState",
    }  # fmt: skip
    assert [it["type"] for it in (market, decision, execution)] == ["market", "decision", "execution"]
    assert [it["messagesProcessed"] for it in (market, decision, execution)] == [2, 2, 2]
    assert [line["message"] for line in market["logs"]] == [f"{n}" for n in range(11, 1, -1)]
    assert market["lastAction"] == "11"
    assert {it["status"] for it in (market, decision, execution)} == {"active"}
    assert [row["id"] for row in decision["recentDecisions"]] == [
        row["id"] for row in results(client.get(API + "decisions/"))
    ]
    assert execution["currentState"]["openPositions"] == ["BTCUSDT"]


def test_details_of_a_new_user_are_idle(client):
    assert {it["status"] for it in body(client.get(AGENTS + "detail/"))} == {"idle"}


def test_details_cost_the_same_however_much_there_is(client, user, played, django_assert_num_queries):
    start_agents(account_of(user))
    for turns in (2, 8):
        played.turn(turns)
        with django_assert_num_queries(18):
            client.get(AGENTS + "detail/")


def test_two_clients_of_one_user_see_the_same(client, user, played):
    played.observe()
    made = decide(client, played)
    assert decide(api_client(user), played, 200) == made
    assert BUY[2] == made["metadata"]["probabilities"]["BUY"]
