"""How an account has done: figures of its closed trades and of the course of its equity."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any

from django.db.models import Avg, Count, Q
from django.db.models.functions import TruncDate, TruncMonth

from trading.models import Account, Trade
from trading.selectors.market_time import day_start, market_now
from trading.selectors.money import total


@dataclass(frozen=True, slots=True)
class ClosedTrades:
    """What the sales of an account have earned. Averages are None where there is nothing to average."""

    total: int
    winning: int
    losing: int
    gross_profit: Decimal
    gross_loss: Decimal
    average_win: Decimal | None
    average_loss: Decimal | None
    commission: Decimal

    @property
    def win_rate_percent(self) -> float | None:
        return 100.0 * self.winning / self.total if self.total else None

    @property
    def profit_factor(self) -> float | None:
        return float(self.gross_profit / self.gross_loss) if self.gross_loss else None

    @property
    def win_loss_ratio(self) -> float | None:
        if self.average_win is None or not self.average_loss:
            return None
        return float(self.average_win / self.average_loss)


@dataclass(frozen=True, slots=True)
class Month:
    month: str
    pnl: Decimal
    trades: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    today: Decimal
    yesterday: Decimal
    this_week: Decimal
    this_month: Decimal
    last_month: Decimal
    monthly: list[Month]


def closed_trades(account: Account) -> ClosedTrades:
    won, lost = Q(pnl__gt=0), Q(pnl__lt=0)
    found = Trade.objects.filter(account=account.pk).aggregate(
        total=Count("pnl"),
        winning=Count("pnl", filter=won),
        losing=Count("pnl", filter=lost),
        gross_profit=total("pnl", filter=won),
        gross_loss=-total("pnl", filter=lost),
        average_win=Avg("pnl", filter=won),
        average_loss=-Avg("pnl", filter=lost),
        commission=total("commission"),
    )
    return ClosedTrades(**found)


def daily_profits(account: Account) -> list[tuple[date, Decimal, Decimal]]:
    """For each UTC day with a sale: the day, its profit, and the profit up to its end."""
    sales = Trade.objects.filter(account=account.pk, pnl__isnull=False)
    days = list(sales.values_list(TruncDate("timestamp")).annotate(pnl=total("pnl")).order_by(TruncDate("timestamp")))
    until = accumulate(pnl for _, pnl in days)
    return [(day, pnl, so_far) for (day, pnl), so_far in zip(days, until, strict=True)]


def breakdown(account: Account) -> Breakdown:
    """Weeks begin on Monday. "Today" is the day of the account's market, see `market_now`."""
    today = day_start(market_now(account))
    periods = {name: _within(*span) for name, span in _spans(today).items()}
    sums: dict[str, Any] = {name: total("pnl", filter=within) for name, within in periods.items()}
    trades = Trade.objects.filter(account=account.pk)
    recent = trades.filter(timestamp__gte=_month_before(today))
    return Breakdown(**recent.aggregate(**sums), monthly=list(_months(account)))


def _months(account: Account) -> Iterator[Month]:
    month = TruncMonth("timestamp")
    groups = Trade.objects.filter(account=account.pk).values_list(month)
    counted = groups.annotate(pnl=total("pnl"), trades=Count("pk")).order_by(month)
    for begin, pnl, trades in counted:
        yield Month(f"{begin:%Y-%m}", pnl, trades)


def _spans(today: datetime) -> dict[str, tuple[datetime, datetime]]:
    tomorrow, month = today + timedelta(days=1), today.replace(day=1)
    return {
        "today": (today, tomorrow),
        "yesterday": (today - timedelta(days=1), today),
        "this_week": (today - timedelta(days=today.weekday()), tomorrow),
        "this_month": (month, tomorrow),
        "last_month": (_month_before(today), month),
    }


def _month_before(today: datetime) -> datetime:
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)


def _within(start: datetime, end: datetime) -> Q:
    return Q(timestamp__gte=start, timestamp__lt=end)
