"""Reads of positions."""

from django.db.models import QuerySet

from trading.models import Account, Position


def positions_of(account: Account) -> "QuerySet[Position]":
    """Newest first."""
    return Position.objects.filter(account=account.pk).select_related("symbol").order_by("-opened_at", "-pk")


def open_positions(account: Account) -> "QuerySet[Position]":
    return positions_of(account).filter(closed_at__isnull=True)
