"""Reads of trades."""

from django.db.models import QuerySet

from trading.models import Account, Trade


def trades_of(account: Account) -> "QuerySet[Trade]":
    """Newest first, each with its symbol and its order."""
    trades = Trade.objects.filter(account=account.pk)
    return trades.select_related("symbol", "order").order_by("-timestamp", "-pk")
