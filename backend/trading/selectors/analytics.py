"""Statistics of closed trades, and realised profit by day and by month."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any

from django.db.models import Avg, Count, Q
from django.db.models.functions import TruncDate, TruncMonth

from trading.models import Account, Trade
from trading.selectors.portfolio import day_start, market_now, total


@dataclass(frozen=True, slots=True)
class ClosedTrades:
    """Sales of an account. Amounts are positive and net of commissions; averages are None without a trade."""

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
class MonthlyResult:
    month: str
    pnl: Decimal
    trades: int


@dataclass(frozen=True, slots=True)
class ProfitBreakdown:
    today: Decimal
    yesterday: Decimal
    this_week: Decimal
    this_month: Decimal
    last_month: Decimal
    monthly: list[MonthlyResult]


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
    """For each UTC day with a sale: the day, its profit, and the cumulative profit."""
    sales = Trade.objects.filter(account=account.pk, pnl__isnull=False)
    days = list(sales.values_list(TruncDate("timestamp")).annotate(pnl=total("pnl")).order_by(TruncDate("timestamp")))
    cumulative = accumulate(pnl for _, pnl in days)
    return [(day, pnl, until) for (day, pnl), until in zip(days, cumulative, strict=True)]


def breakdown(account: Account) -> ProfitBreakdown:
    """Realised profit. Weeks begin on Monday; "today" is the day of the account's market, see `market_now`."""
    today = day_start(market_now(account))
    tomorrow, month = today + timedelta(days=1), today.replace(day=1)
    last_month = (month - timedelta(days=1)).replace(day=1)
    periods = {
        "today": (today, tomorrow),
        "yesterday": (today - timedelta(days=1), today),
        "this_week": (today - timedelta(days=today.weekday()), tomorrow),
        "this_month": (month, tomorrow),
        "last_month": (last_month, month),
    }
    sums: dict[str, Any] = {
        name: total("pnl", filter=Q(timestamp__gte=start, timestamp__lt=end)) for name, (start, end) in periods.items()
    }
    trades = Trade.objects.filter(account=account.pk)
    month_of = TruncMonth("timestamp")
    months = trades.values_list(month_of).annotate(pnl=total("pnl"), trades=Count("pk")).order_by(month_of)
    return ProfitBreakdown(
        **trades.filter(timestamp__gte=last_month).aggregate(**sums),
        monthly=[MonthlyResult(f"{start:%Y-%m}", pnl, count) for start, pnl, count in months],
    )
