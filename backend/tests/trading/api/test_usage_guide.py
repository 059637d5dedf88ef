"""The usage guide of the specification, request by request and in its order."""

from rest_framework.test import APIClient

from tests.api import problem, with_token
from tests.trading.api.markets import API, body, results

EMAIL, PASSWORD = "user@example.com", "correct horse battery"


def test_the_usage_guide(played):
    client = APIClient()

    # 1. Authentication: the guide's own password is too common, and the answer says so.
    refused = client.post("/api/auth/register/", {"email": EMAIL, "password": "password123"})
    assert problem(refused) == (400, "invalid")
    assert refused.json()["fields"]["password"] == ["This password is too common."]
    body(client.post("/api/auth/register/", {"email": EMAIL, "password": PASSWORD}), 201)
    session = body(client.post("/api/auth/login/", {"email": EMAIL, "password": PASSWORD}))
    with_token(client, session["access"])
    assert body(client.get("/api/auth/me/"))["email"] == EMAIL

    # 2. Add trading symbols: both are on the watch list of a new user.
    assert body(client.post(API + "symbols/", {"symbol": "AAPL"}))["kind"] == "stock"
    bitcoin = body(client.post(API + "symbols/", {"symbol": "BTCUSDT"}))
    assert bitcoin["kind"] == "crypto"

    # 3. Start market monitoring.
    started = body(client.post(API + "agents/market-monitor/", {"action": "start"}))
    assert started["status"] == "started"
    played.observe()

    # 4. Request a trading decision.
    decision = body(client.post(API + "agents/decision-maker/", {"symbol_id": bitcoin["id"]}), 201)
    assert decision["decision"] == "BUY"
    played.pipeline.drain()

    # 5. View results.
    (row,) = results(client.get(API + "decisions/"))
    assert (row["id"], row["status"], row["metadata"]["model_type"]) == (decision["id"], "executed", "random_forest")
    (trade,) = results(client.get(API + "trades/"))
    assert (trade["decision_id"], trade["action"], trade["symbol"]) == (decision["id"], "BUY", "BTCUSDT")
    portfolio = body(client.get(API + "portfolio/"))
    assert [position["symbol"] for position in portfolio["positions"]] == ["BTCUSDT"]
    assert portfolio["totalTrades"] == 1
    assert portfolio["freeCash"] + portfolio["usedMargin"] == portfolio["balance"] == 10_000

    # The step-by-step example of the specification: every agent has told the next one.
    told = [(message["from"], message["to"]) for message in results(client.get(API + "messages/"))]
    assert told == [("execution", None), ("decision", "execution"), ("market", "decision")]
    assert [agent["status"] for agent in body(client.get(API + "agents/detail/"))] == ["active"] * 3
