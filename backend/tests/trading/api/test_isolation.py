"""No address shows or touches the rows of another user. The addresses and body fields come from the code itself."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

from learning.models import ModelVersion, TrainingTask
from market.models import Candle, Symbol
from market.services import add_symbol
from tests.api import api_client, make_user
from tests.trading.api.books import NOON, make_decision, make_position, make_trade
from trading.books.accounts import follow, open_account
from trading.models import Account, AgentLog, AgentType, EquityPoint, Message, RefreshRequest

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords", "unthrottled")]

ROOT = "/api/trading/"
METHODS = ["get", "post", "put", "patch", "delete"]
SYMBOL = "EURUSD"  # nobody follows it unasked


def make_symbol(account: Account) -> Symbol:
    follow(account, [add_symbol(SYMBOL)])
    return add_symbol(SYMBOL)


def make_candle(account: Account) -> Candle:
    prices = dict.fromkeys(("open", "high", "low", "close"), 1.1)
    return Candle.objects.create(
        symbol=make_symbol(account), interval="1h", open_time=NOON, volume=1, source="x", **prices
    )


def make_message(account: Account) -> Message:
    return Message.objects.create(
        key=f"decision:{uuid4()}",
        type=Message.Type.TRADE_DECISION,
        sender=AgentType.DECISION_MAKER,
        payload={"ticker": SYMBOL},
        symbol=make_symbol(account),
        interval="1h",
        account=account,
    )


def make_model(account: Account) -> ModelVersion:
    return ModelVersion.objects.create(
        symbol=make_symbol(account),
        interval="1h",
        algorithm="random_forest",
        content_hash="f00d",
        first_time=NOON,
        last_time=NOON,
        rows=1,
        recipe={},
        scores={},
    )


def make_refresh(account: Account) -> RefreshRequest:
    symbol = make_symbol(account)
    return RefreshRequest.objects.create(task_id=uuid4(), account=account, symbol=symbol, interval="1h")


def make_training(account: Account) -> TrainingTask:
    symbol = make_symbol(account)
    asked = {"user": account.user, "symbol": symbol, "interval": "1h", "name": "random_forest"}
    return TrainingTask.objects.create(task_id=uuid4(), **asked)


def decision(account: Account) -> int:
    return make_decision(account, SYMBOL).pk


def position(account: Account) -> int:
    return make_position(account, SYMBOL).pk


# What the parameter of an address names, made for the account. A new address has to be added here.
ROWS: dict[str, Callable[[Account], Any]] = {
    "symbols/<pk>/": lambda account: make_symbol(account).pk,
    "market-data/<pk>/": lambda account: make_candle(account).pk,
    "market-data/refresh/<task_id>/": lambda account: make_refresh(account).task_id,
    "decisions/<pk>/": decision,
    "decisions/<pk>/trace/": decision,
    "trades/<pk>/": lambda account: make_trade(account, symbol=SYMBOL).pk,
    "positions/<pk>/": position,
    "messages/<pk>/": lambda account: make_message(account).pk,
    "models/<pk>/": lambda account: make_model(account).pk,
    "models/train/<task_id>/": lambda account: make_training(account).task_id,
}
# What a field of a body names, and what else the body needs to be understood.
FIELDS: dict[str, Callable[[Account], Any]] = {
    "symbol_id": lambda account: make_symbol(account).pk,
    "symbol_ids": lambda account: [make_symbol(account).pk],
    "position_id": position,
    "decision_id": decision,
}
BESIDE = {"interval": "1h", "model_type": "random_forest"}


def routes(patterns: Any = None, prefix: str = "/") -> Iterator[str]:
    for entry in patterns or get_resolver().url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, route)
        elif isinstance(entry, URLPattern) and route.startswith(ROOT):
            yield re.sub(r"<\w+:", "<", route.removeprefix(ROOT))


def bodies() -> Iterator[tuple[str, str]]:
    """Every address with a field in its body that names a row."""
    document = SchemaGenerator().get_schema(public=True)
    for path, item in document["paths"].items():
        for operation in item.values():
            if path.startswith(ROOT) and "requestBody" in operation:
                reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                shape = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
                yield from ((path, name) for name in shape["properties"] if re.search(r"(^|_)ids?$", name))


ALL = sorted(set(routes()))
NAMING = [route for route in ALL if "<" in route]
PLAIN = [route for route in ALL if "<" not in route]


@pytest.fixture
def ann() -> Account:
    return open_account(make_user("ann@example.com"))


@pytest.fixture
def bob():
    return api_client(make_user("bob@example.com"))


def test_the_walk_finds_addresses_and_bodies():
    assert {"decisions/<pk>/trace/", "messages/<pk>/"} <= set(NAMING)
    assert {(ROOT + "positions/close/", "position_id"), (ROOT + "decisions/", "symbol_id")} <= set(bodies())


@pytest.mark.parametrize("route", NAMING)
def test_the_row_of_another_user_is_404(ann: Account, bob, route: str):
    assert route in ROWS, "a new address: say in ROWS what its parameter names"
    address = ROOT + re.sub("<[^>]+>", str(ROWS[route](ann)), route)
    assert api_client(ann.user).get(address).status_code == 200
    statuses = {getattr(bob, method)(address, {}).status_code for method in METHODS}
    assert statuses <= {404, 405}
    assert 404 in statuses


@pytest.mark.parametrize(("address", "field"), sorted(set(bodies())))
def test_a_body_cannot_name_the_row_of_another_user(ann: Account, bob, address: str, field: str):
    assert field in FIELDS, "a new field: say in FIELDS what it names"
    body = {**BESIDE, field: FIELDS[field](ann)}
    answer = bob.post(address, body)
    assert answer.status_code == 404, answer.content


@pytest.mark.parametrize("route", PLAIN)
def test_no_page_tells_about_another_user(ann: Account, bob, route: str):
    for make in set(ROWS.values()):
        make(ann)
    AgentLog.objects.create(user=ann.user, agent_type=AgentType.EXECUTION, message=SYMBOL)
    EquityPoint.objects.create(account=ann, time=NOON, balance=123456, equity=123456)
    answer = bob.get(ROOT + route)
    assert answer.status_code in {200, 404, 405}
    assert SYMBOL.encode() not in answer.content
    assert b"123456" not in answer.content
