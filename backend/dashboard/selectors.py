"""Reads for the pages: a few indexed queries each, whatever the size of the tables."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from market.models import Candle, Symbol
from trading.models import Account, AgentLog, Decision, EquityPoint, Message, Trade

MOST_POINTS = 3000


def followed_markets(account: Account) -> "QuerySet[Symbol]":
    """The symbols with `opened_at`, `close` and `seen_at` of their newest candle."""
    interval = account.settings.interval
    newest = Candle.objects.filter(symbol=OuterRef("pk"), interval=interval).order_by("-open_time")
    latest = {"opened_at": "open_time", "close": "close", "seen_at": "first_seen"}
    columns = {name: Subquery(newest.values(column)[:1]) for name, column in latest.items()}
    return Symbol.objects.filter(follows__account=account).annotate(**columns).order_by("symbol")


def latest_decisions(account: Account, count: int) -> "QuerySet[Decision]":
    return account.decisions.select_related("symbol").order_by("-created_at", "-pk")[:count]


def latest_messages(account: Account, count: int) -> list[Message]:
    """The account's messages and the snapshots that caused them."""
    own = account.messages.select_related("symbol", "caused_by__symbol").order_by("-pk")[:count]
    messages = {message.pk: message for message in own}
    causes = [message.caused_by for message in own if message.caused_by]
    messages |= {cause.pk: cause for cause in causes if cause.account_id in (None, account.pk)}
    return sorted(messages.values(), key=lambda message: message.pk, reverse=True)[:count]


def latest_log_lines(account: Account, count: int) -> "QuerySet[AgentLog]":
    return AgentLog.objects.filter(user=account.user_id).order_by("-pk")[:count]


def trade_totals(account: Account) -> tuple[int, int, Decimal]:
    """The number of trades, the number of sales among them, and their profit."""
    trades = Trade.objects.filter(account=account)
    totals = trades.aggregate(all=Count("pk"), sales=Count("pnl"), profit=Coalesce(Sum("pnl"), Decimal(0)))
    return totals["all"], totals["sales"], totals["profit"]


def newest_equity(account: Account) -> Sequence[tuple[datetime, Decimal]]:
    """The newest points of the equity curve, oldest first."""
    newest_first = EquityPoint.objects.filter(account=account).order_by("-time").values_list("time", "equity")
    return list(newest_first[:MOST_POINTS])[::-1]
