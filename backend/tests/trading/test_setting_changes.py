"""A change of settings holds once it is confirmed: no agent trades by the old ones afterwards."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from market.models import Symbol
from tests.trading.markets import running_account
from tests.waiting import in_a_thread, until_it_waits
from trading.books.accounts import set_active, stop_agents, unfollow
from trading.books.preferences import change_settings
from trading.books.session import AccountSession, locked_sessions
from trading.models import Account, TradingSettings

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]
CHANGES: dict[str, Callable[[Account, Symbol], Any]] = {
    "kill switch": lambda account, symbol: change_settings(account, {"killSwitch": True}),
    "stopped": lambda account, symbol: stop_agents(account),
    "inactive": lambda account, symbol: set_active(account, symbol, False),
    "not followed": unfollow,
}
changing = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@changing
def test_an_agent_that_waited_for_a_change_reads_it(change: Callable[[Account, Symbol], Any]) -> None:
    account = running_account()
    symbol = known_symbol()
    assert may_trade(session_of(account, symbol), symbol)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            change(account, symbol)
            agent = pool.submit(in_a_thread, lambda: session_of(account, symbol))
            until_it_waits(agent)
        assert not may_trade(agent.result(), symbol)


@changing
def test_a_change_waits_for_an_agent_at_work(change: Callable[[Account, Symbol], Any]) -> None:
    account = running_account()
    symbol = known_symbol()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            session_of(account, symbol)
            user = pool.submit(in_a_thread, lambda: change(account, symbol))
            until_it_waits(user)
        user.result()
    assert not may_trade(session_of(account, symbol), symbol)


def known_symbol() -> Symbol:
    """A symbol whose price step is known, as of each that agents trade."""
    Symbol.objects.filter(symbol="BTCUSDT").update(price_tick="0.01")
    return Symbol.objects.get(symbol="BTCUSDT")


def session_of(account: Account, symbol: Symbol) -> AccountSession:
    with transaction.atomic():
        (session,) = locked_sessions([account.pk], [symbol])
    return session


def may_trade(session: AccountSession, symbol: Symbol) -> bool:
    running = session.settings.status == TradingSettings.Status.RUNNING
    return running and symbol.pk in session.followed and not session.limits.kill_switch
