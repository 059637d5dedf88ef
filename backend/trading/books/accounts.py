"""Writes that users request: an account, what it follows, and whether its agents run."""

from collections.abc import Iterable
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from market.models import Symbol
from market.services import add_symbol
from market.symbols import parse_symbol
from trading.models import Account, AgentState, AgentType, CashEntry, Follow, Mode, TradingSettings

INITIAL_BALANCE = Decimal("10000.00")

# Each one is polled and computed for; it also bounds how many unknown names a user can add.
MOST_SYMBOLS = 200

WATCH_LIST = {
    "BTCUSDT": "Bitcoin",
    "ETHUSDT": "Ethereum",
    "BNBUSDT": "BNB",
    "SOLUSDT": "Solana",
    "ADAUSDT": "Cardano",
    "XRPUSDT": "XRP",
    "DOGEUSDT": "Dogecoin",
    "AAPL": "Apple",
    "MSFT": "Microsoft",
    "GOOGL": "Alphabet",
    "AMZN": "Amazon",
    "TSLA": "Tesla",
    "META": "Meta Platforms",
    "NVDA": "NVIDIA",
    "JPM": "JPMorgan Chase",
}


@transaction.atomic
def open_account(user: User, initial_balance: Decimal = INITIAL_BALANCE) -> Account:
    """The paper account of a user with settings and agents; made if there is none yet."""
    account, made = Account.objects.get_or_create(
        user=user,
        mode=Mode.PAPER,
        defaults={
            "initial_balance": initial_balance,
            "cash": initial_balance,
            "equity": initial_balance,
            "peak_equity": initial_balance,
            "day_start_equity": initial_balance,
        },
    )
    if made:
        TradingSettings.objects.create(account=account)
        CashEntry.objects.create(account=account, amount=initial_balance, balance=initial_balance)
        AgentState.objects.bulk_create([AgentState(user=user, agent_type=agent) for agent in AgentType.values])
    return account


@transaction.atomic
def provision(user: User) -> Account:
    """What every new user starts with: an account, and a watch list."""
    account = open_account(user)
    add_default_symbols(account)
    return account


def add_default_symbols(account: Account) -> list[Follow]:
    """The watch list that a new user starts with."""
    return follow(account, [add_symbol(symbol, name) for symbol, name in WATCH_LIST.items()])


def follow(account: Account, symbols: Iterable[Symbol]) -> list[Follow]:
    """The account trades these symbols from now on; the rows, old and new."""
    wanted = list(symbols)
    Follow.objects.bulk_create([Follow(account=account, symbol=symbol) for symbol in wanted], ignore_conflicts=True)
    return list(Follow.objects.filter(account=account, symbol__in=wanted).select_related("symbol"))


class TooManySymbols(Exception):
    """An account follows as many symbols as it may."""


@transaction.atomic
def follow_named(account: Account, name: str) -> tuple[Symbol, bool]:
    """The symbol of that name, and whether following it is new. Raises SymbolError and TooManySymbols."""
    symbol, known = parse_symbol(name), Follow.objects.filter(account=account)
    if followed := known.filter(symbol__symbol=symbol).select_related("symbol").first():
        return followed.symbol, False
    if known.count() >= MOST_SYMBOLS:
        raise TooManySymbols(f"An account can follow {MOST_SYMBOLS} symbols.")
    (followed,) = follow(account, [add_symbol(symbol)])
    return followed.symbol, True


def wait_for_agents(account: Account) -> Account:
    """The locked account. Agents wait until the caller's transaction ends.

    So a response is valid from then on: an agent reads the settings after it has locked the account.
    """
    return Account.objects.select_for_update().get(pk=account.pk)


@transaction.atomic
def set_active(account: Account, symbol: Symbol, is_active: bool) -> None:
    """Whether the account trades a symbol that it follows; open positions keep their protective exits either way."""
    wait_for_agents(account)
    Follow.objects.filter(account=account, symbol=symbol).update(is_active=is_active, updated_at=timezone.now())


@transaction.atomic
def unfollow(account: Account, symbol: Symbol) -> None:
    """No more decisions on the symbol. Its history, and the exits of an open position, stay."""
    wait_for_agents(account)
    TradingSettings.objects.filter(account=account, symbol=symbol).update(symbol=None)
    Follow.objects.filter(account=account, symbol=symbol).delete()


def start_agents(account: Account) -> bool:
    """Whether this changed anything: the agents of a running account stay as they are."""
    return _set_status(account, TradingSettings.Status.RUNNING, AgentState.Status.RUNNING)


def stop_agents(account: Account) -> bool:
    """No more decisions. Open positions keep their protective exits."""
    return _set_status(account, TradingSettings.Status.STOPPED, AgentState.Status.STOPPED)


@transaction.atomic
def pause_agents(account: Account) -> bool:
    """No more decisions, as when they are stopped; the markets are still monitored."""
    changed = _set_status(account, TradingSettings.Status.PAUSED, AgentState.Status.IDLE)
    monitor = AgentState.objects.filter(user=account.user_id, agent_type=AgentType.MARKET_MONITOR)
    monitor.update(status=AgentState.Status.RUNNING)
    return changed


@transaction.atomic
def _set_status(account: Account, status: TradingSettings.Status, shown: AgentState.Status) -> bool:
    wait_for_agents(account)
    changed = TradingSettings.objects.filter(account=account).exclude(status=status).update(status=status)
    AgentState.objects.filter(user=account.user_id).update(status=shown, error_message="")
    return bool(changed)
