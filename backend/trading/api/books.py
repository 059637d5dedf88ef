"""What the views of one account's books have in common: whose account it is, and the filters of their lists."""

from typing import Any

from django.db.models import QuerySet
from django.utils.functional import cached_property
from django_filters import rest_framework as filters
from rest_framework.request import Request

from market.models import Symbol
from trading.models import Account
from trading.selectors.accounts import account_of
from web.filters import IdFilter
from web.pagination import Pages


class BookMixin:
    """A view on the paper account of whoever asks; there is no way to name another one."""

    error_statuses: tuple[int, ...] = (404,)

    @cached_property
    def account(self: Any) -> Account:
        # While the schema is made nobody asks, and no row is looked for.
        return Account() if getattr(self, "swagger_fake_view", False) else account_of(self.request.user)


class BookPages(Pages):
    """Finds the keys of a page first: the database skips rows in the index and joins only those that are shown."""

    def paginate_queryset(self, rows: Any, request: Request, view: Any = None) -> list[Any]:
        keys = super().paginate_queryset(rows.values_list("pk", flat=True), request, view)
        return list(rows.filter(pk__in=keys))


class SymbolFilters(filters.FilterSet):
    symbol_id = IdFilter("symbol_id")
    symbol = filters.CharFilter(method="by_name", label="Such as BTCUSDT; case does not matter.")

    def by_name(self, rows: "QuerySet[Any]", name: str, value: str) -> "QuerySet[Any]":
        # Its id first: through a join the database could not read the page off the index in its order.
        symbol = Symbol.objects.filter(symbol=value.strip().upper()).values_list("pk", flat=True).first()
        return rows.none() if symbol is None else rows.filter(symbol_id=symbol)
