"""Changes of settings. The form of values was checked before; what conflicts with the account is refused."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from market.models import Symbol
from trading.books.accounts import pause_agents, start_agents, stop_agents, wait_for_agents
from trading.models import Account, CashEntry, EquityPoint, Order, TradingSettings
from trading.selectors.settings import COLUMNS
from trading.selectors.symbols import followed_symbols

STATUS = {
    TradingSettings.Status.RUNNING: start_agents,
    TradingSettings.Status.PAUSED: pause_agents,
    TradingSettings.Status.STOPPED: stop_agents,
}


class NotFollowed(Exception):
    """The account does not follow the symbol."""


class AlreadyTraded(Exception):
    """The account has traded, so its initial balance is fixed."""


@transaction.atomic
def change_settings(account: Account, changes: Mapping[str, Any]) -> None:
    """Changes the named settings, all or none. Raises NotFollowed and AlreadyTraded."""
    account = wait_for_agents(account)
    if "initialBalance" in changes:
        _start_with(account, changes["initialBalance"])
    columns = {COLUMNS[name]: value for name, value in changes.items() if name in COLUMNS}
    if "symbol" in changes:
        columns["symbol"] = _followed(account, changes["symbol"])
    TradingSettings.objects.filter(account=account).update(**columns, updated_at=timezone.now())
    if "status" in changes:
        STATUS[TradingSettings.Status(changes["status"])](account)


def _start_with(account: Account, balance: Decimal) -> None:
    """Another initial balance, for an account that has never traded."""
    if balance == account.initial_balance:
        return
    if Order.objects.filter(account=account).exists():
        raise AlreadyTraded
    CashEntry.objects.create(account=account, amount=balance - account.cash, balance=balance)
    # The equity points of the old balance would show a loss or a profit beside the new one.
    EquityPoint.objects.filter(account=account).delete()
    money = ("initial_balance", "cash", "equity", "peak_equity", "day_start_equity")
    Account.objects.filter(pk=account.pk).update(**dict.fromkeys(money, balance))


def _followed(account: Account, name: str) -> Symbol:
    symbol = followed_symbols(account).filter(symbol=name.strip().upper()).first()
    if symbol is None:
        raise NotFollowed(name)
    return symbol
