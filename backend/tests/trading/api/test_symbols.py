import pytest
from django.core.management import call_command
from django.db import transaction

from accounts.models import User
from market.models import Symbol
from tests.api import make_user, problem, register
from tests.trading.api.markets import API, NONSENSE, account_of, body, results
from trading.books.accounts import MOST_SYMBOLS, WATCH_LIST, start_agents
from trading.books.session import AccountSession, concerned_sessions
from trading.models import AgentState, CashEntry, Decision, Follow, Message, TradingSettings
from trading.selectors.markets import watched_markets

SYMBOLS = API + "symbols/"
KEYS = {"id", "symbol", "name", "kind", "source", "is_active", "created_at", "updated_at"}


@pytest.mark.django_db
def test_registration_opens_an_account_with_settings_agents_and_a_watch_list():
    assert register("ada@example.com").status_code == 201
    account = account_of(User.objects.get())
    assert account.cash == account.initial_balance == CashEntry.objects.get().balance == 10_000
    assert account.settings.status == TradingSettings.Status.STOPPED
    assert AgentState.objects.filter(user=account.user).count() == 3
    assert {follow.symbol.symbol for follow in account.follows.all()} == set(WATCH_LIST)


@pytest.mark.django_db
def test_a_superuser_of_the_command_line_has_an_account_too():
    call_command("createsuperuser", email="root@example.com", interactive=False)
    assert account_of(User.objects.get()).follows.count() == len(WATCH_LIST)


@pytest.mark.django_db
def test_no_half_made_user_is_left(monkeypatch: pytest.MonkeyPatch):
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("trading.books.accounts.add_default_symbols", fail)
    with pytest.raises(ZeroDivisionError):
        register("ada@example.com")
    assert not User.objects.exists()


def test_the_list_has_the_shape_of_the_contract(client):
    rows = results(client.get(SYMBOLS))
    assert [row["symbol"] for row in rows] == sorted(WATCH_LIST)
    assert all(set(row) == KEYS for row in rows)
    bitcoin = next(row for row in rows if row["symbol"] == "BTCUSDT")
    assert (bitcoin["name"], bitcoin["kind"], bitcoin["source"], bitcoin["is_active"]) == (
        "Bitcoin",
        "crypto",
        None,
        True,
    )
    assert bitcoin["id"] == Symbol.objects.get(symbol="BTCUSDT").pk
    assert bitcoin["created_at"].endswith("Z")


def test_the_source_is_that_of_the_newest_candle(client, played):
    played.observe()
    rows = results(client.get(SYMBOLS + "?kind=crypto"))
    assert {row["symbol"]: row["source"] for row in rows}["BTCUSDT"] == "replay"
    assert {row["kind"] for row in rows} == {"crypto"}


def test_a_symbol_is_followed_once(client):
    made = body(client.post(SYMBOLS, {"symbol": " eurusd "}), 201)
    assert (made["symbol"], made["kind"]) == ("EURUSD", "forex")
    assert body(client.post(SYMBOLS, {"symbol": "EURUSD"})) == made
    assert body(client.get(f"{SYMBOLS}{made['id']}/")) == made


SOUND = ["x", "NaN", "1e999"]  # shares may be called so


@pytest.mark.parametrize(
    "value",
    [*(value for value in NONSENSE if value not in SOUND), "BTC/USDT", "../etc", "A" * 21, "BTC USDT", "\u0131BTC"],
)
def test_what_is_no_symbol_is_400(client, value):
    answer = client.post(SYMBOLS, {"symbol": value})
    assert problem(answer)[0] == 400
    assert list(answer.json()["fields"]) == ["symbol"]


@pytest.mark.parametrize("value", [[], "x", 1, {}, None])
def test_a_body_that_is_no_symbol_is_400(client, value):
    assert problem(client.post(SYMBOLS, value))[0] == 400


def test_there_is_a_most(client, user):
    account = account_of(user)
    symbols = Symbol.objects.bulk_create(Symbol(symbol=f"S{n}", kind="stock") for n in range(MOST_SYMBOLS))
    Follow.objects.bulk_create(Follow(account=account, symbol=symbol) for symbol in symbols[len(WATCH_LIST) :])
    assert problem(client.post(SYMBOLS, {"symbol": "ONEMORE"})) == (409, "too_many_symbols")


def concerned() -> list[AccountSession]:
    with transaction.atomic():
        return concerned_sessions([Message.objects.get()])


def test_an_inactive_symbol_is_watched_and_not_traded(client, user, played):
    address = f"{SYMBOLS}{played.symbol.pk}/"
    start_agents(account_of(user))
    assert body(client.patch(address, {"is_active": False}))["is_active"] is False
    played.observe()
    assert not concerned()
    assert "BTCUSDT" not in [market.symbol.symbol for market in watched_markets()]
    assert body(client.patch(address, {"is_active": True}))["is_active"] is True
    assert len(concerned()) == 1


@pytest.mark.parametrize("change", [{}, {"is_active": "yes"}, {"is_active": 1}, {"is_active": None}, {"name": "x"}, []])
def test_a_bad_change_is_400(client, played, change):
    assert problem(client.patch(f"{SYMBOLS}{played.symbol.pk}/", change))[0] == 400


def test_unfollowing_keeps_the_history(client, user, played):
    start_agents(account_of(user))
    played.turn()
    address = f"{SYMBOLS}{played.symbol.pk}/"
    assert client.delete(address).status_code == 204
    assert problem(client.get(address)) == (404, "not_found")
    assert Decision.objects.filter(account__user=user).count() == 1
    assert Symbol.objects.filter(pk=played.symbol.pk).exists()


@pytest.mark.parametrize("pk", [0, 999_999, 2**63, 10**30])
@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_an_unknown_id_is_404(client, method, pk):
    assert problem(getattr(client, method)(f"{SYMBOLS}{pk}/", {"is_active": False})) == (404, "not_found")


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_what_somebody_else_follows_is_404(client, stranger, method):
    made = body(stranger.post(SYMBOLS, {"symbol": "EURUSD"}), 201)
    assert problem(getattr(client, method)(f"{SYMBOLS}{made['id']}/", {"is_active": False})) == (404, "not_found")
    assert body(stranger.get(f"{SYMBOLS}{made['id']}/")) == made


@pytest.mark.parametrize("count", [5, 50])
def test_a_list_costs_the_same_however_long(client, user, count: int, django_assert_num_queries):
    account = account_of(user)
    Follow.objects.filter(account=account).delete()
    symbols = Symbol.objects.bulk_create(Symbol(symbol=f"S{n}", kind="stock") for n in range(count))
    Follow.objects.bulk_create(Follow(account=account, symbol=symbol) for symbol in symbols)
    with django_assert_num_queries(4):
        assert len(results(client.get(SYMBOLS))) == count


@pytest.mark.django_db
def test_a_user_without_an_account_is_told_so(client, user):
    Follow.objects.all().delete()
    account_of(user).delete()
    assert problem(client.get(SYMBOLS)) == (404, "not_found")
    assert make_user().accounts.count() == 1
