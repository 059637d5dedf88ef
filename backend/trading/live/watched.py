"""Which markets are watched."""

from dataclasses import dataclass

from django.db.models import Q

from market.models import Symbol
from trading.models import RefreshRequest, TradingSettings


@dataclass(frozen=True, slots=True)
class Market:
    """A symbol at an interval."""

    symbol: Symbol
    interval: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval}"


def watched_markets() -> list[Market]:
    """The markets that running and paused accounts follow, those in which any account holds a position,
    and those that somebody asked to be looked at.
    """
    wanted = Q(follows__is_active=True, follows__account__settings__status__in=TradingSettings.WATCHING)
    held = Q(positions__closed_at__isnull=True, positions__isnull=False)
    followed = Symbol.objects.filter(wanted).values_list("pk", "follows__account__settings__interval")
    open_ = Symbol.objects.filter(held).values_list("pk", "positions__account__settings__interval")
    asked = RefreshRequest.objects.filter(looked_at=None).values_list("symbol_id", "interval")
    pairs = sorted(set(followed) | set(open_) | set(asked))
    symbols = Symbol.objects.in_bulk({pk for pk, _ in pairs})
    return [Market(symbols[pk], interval) for pk, interval in pairs]
