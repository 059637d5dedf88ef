"""What an account holds, what it has traded and what it is worth."""

from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from django.db.models import Count, F, FilteredRelation, Max, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Round
from django.http import Http404
from django.utils import timezone

from accounts.models import User
from engine.orders import ZERO, exact
from market.instruments import money_step
from trading.models import Account, EquityPoint, Mode, Position, Trade

# Of every money column. Not fewer: the displayed amounts add up to the last digit.
PLACES = 8


@dataclass(frozen=True, slots=True)
class AccountValue:
    """An account at the last marks of its positions. `used` is what the open positions have cost."""

    initial: Decimal
    cash: Decimal
    used: Decimal
    market_value: Decimal

    @property
    def balance(self) -> Decimal:
        return self.cash + self.used

    @property
    def equity(self) -> Decimal:
        return self.cash + self.market_value

    @property
    def unrealised(self) -> Decimal:
        return self.market_value - self.used

    @property
    def realised(self) -> Decimal:
        """By the identity of the ledger: initial cash + realised profit = cash + entry cost of the open positions."""
        return self.balance - self.initial


@dataclass(frozen=True, slots=True)
class PeriodResult:
    """The number of trades, and the profit of the sales among them, net of commissions."""

    trades: int
    pnl: Decimal


def account_of(user: User) -> Account:
    """The paper account of a user, with its settings. Raises Http404 where there is none."""
    account = Account.objects.filter(user=user.pk, mode=Mode.PAPER).select_related("settings__symbol").first()
    if account is None:
        raise Http404("no paper account")
    return account


def positions_of(account: Account) -> "QuerySet[Position]":
    """Newest first."""
    return Position.objects.filter(account=account.pk).select_related("symbol").order_by("-opened_at", "-pk")


def open_positions(account: Account) -> "QuerySet[Position]":
    return positions_of(account).filter(closed_at__isnull=True)


def trades_of(account: Account) -> "QuerySet[Trade]":
    """Newest first, each with its symbol and its order."""
    trades = Trade.objects.filter(account=account.pk)
    return trades.select_related("symbol", "order").order_by("-timestamp", "-pk")


def worth(symbol: str, quantity: Decimal, mark: float) -> Decimal:
    """The value of a position at its last mark, rounded down to a whole money step as in the engine."""
    return (quantity * exact(mark)).quantize(money_step(symbol), ROUND_FLOOR)


def value_of(account: Account) -> AccountValue:
    """Cash, equity and costs in one statement: two would miss half of a trade that commits between them."""
    held = FilteredRelation("positions", condition=Q(positions__closed_at__isnull=True))
    rows = Account.objects.filter(pk=account.pk).annotate(held=held)
    found = list(rows.values_list("initial_balance", "cash", "equity", "held__cost"))
    initial, cash, equity, _ = found[0]
    used = sum((cost for *_, cost in found if cost is not None), ZERO)
    return AccountValue(initial, cash, used, market_value=equity - cash)


def result_since(account: Account, start: datetime) -> PeriodResult:
    trades = Trade.objects.filter(account=account.pk, timestamp__gte=start)
    return PeriodResult(**trades.aggregate(trades=Count("pk"), pnl=total("pnl")))


def total(field: str, **options: Any) -> Round:
    """The sum of a money column, zero over no rows. Rounded: SQLite adds in floats (0.959999999999999 for 0.96)."""
    return Round(Coalesce(Sum(F(field), **options), ZERO), precision=PLACES)


def market_now(account: Account) -> datetime:
    """The time in the account's market: its last valuation or its last trade, whichever is later.

    A replayed market is in the past, and "today" is the day being replayed. The wall clock counts only for an account
    that has neither.
    """
    valued = EquityPoint.objects.filter(account=account.pk).aggregate(latest=Max("time"))["latest"]
    traded = Trade.objects.filter(account=account.pk).aggregate(latest=Max("timestamp"))["latest"]
    return max((moment for moment in (valued, traded) if moment), default=timezone.now())


def day_start(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(UTC).date(), time.min, UTC)
