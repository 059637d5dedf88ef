"""What the views of one account's books have in common: whose account it is, and the filters of their lists."""

from collections.abc import Sequence
from typing import Any

import msgspec
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django_filters import rest_framework as filters
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

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

    def paginate_queryset(self, rows: Any, request: Request, view: Any = None) -> Any:
        self.view = view
        keys = super().paginate_queryset(rows.values_list("pk", flat=True), request, view)
        return rows.filter(pk__in=keys)

    def get_count(self, rows: Any) -> int:
        count: int = self.view.counted(rows)
        return count


class BookList(BookMixin, generics.ListAPIView):
    """A list whose rows are written straight from columns.

    With models and serializers a page of 500 rows takes five times as long. The serializer stays the one definition of
    a row, for single rows and the schema; a test compares the two.
    """

    pagination_class = BookPages

    def counted(self, rows: "QuerySet[Any]") -> int:
        return rows.count()

    def written(self, rows: "QuerySet[Any]") -> Sequence[Any]:
        """The rows as the serializer would write them, in their order: dictionaries, or JSON that is ready."""
        raise NotImplementedError

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.written(page))


def stored_json(text: str | None) -> msgspec.Raw | None:
    """JSON that the database gave as text: it goes out as it is, and is not read and written again."""
    return None if text is None else msgspec.Raw(text.encode())


class SymbolFilters(filters.FilterSet):
    symbol_id = IdFilter("symbol_id")
    symbol = filters.CharFilter(method="by_name", label="Such as BTCUSDT; case does not matter.")

    def by_name(self, rows: "QuerySet[Any]", name: str, value: str) -> "QuerySet[Any]":
        # Its id first: through a join the database could not read the page off the index in its order.
        symbol = Symbol.objects.filter(symbol=value.strip().upper()).values_list("pk", flat=True).first()
        return rows.none() if symbol is None else rows.filter(symbol_id=symbol)
