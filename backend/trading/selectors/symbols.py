"""The symbols an account follows."""

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404

from market.models import Candle, Symbol
from trading.models import Account, Follow


def follows(account: Account) -> "QuerySet[Follow]":
    """The followed symbols, with `source`: the source of the newest candle, None without one."""
    newest = Candle.objects.filter(symbol=OuterRef("symbol"), interval=account.settings.interval).order_by("-open_time")
    followed = Follow.objects.filter(account=account).select_related("symbol")
    return followed.annotate(source=Subquery(newest.values("source")[:1])).order_by("symbol__symbol")


def followed_symbols(account: Account) -> "QuerySet[Symbol]":
    return Symbol.objects.filter(follows__account=account).order_by("symbol")


def followed_symbol(account: Account, **lookup: object) -> Symbol:
    """Raises Http404 for a symbol that is unknown or not followed."""
    symbol = followed_symbols(account).filter(**lookup).first()
    if symbol is None:
        raise Http404("not followed")
    return symbol


def symbol_or_default(account: Account, name: str | None) -> Symbol:
    """The followed symbol of that name; without a name that of the settings, or the platform's default."""
    chosen = name.strip().upper() if name else account.settings.symbol or settings.DEFAULT_SYMBOL
    return followed_symbol(account, symbol=str(chosen))
