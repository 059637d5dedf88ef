"""What the views of one account share: the account, the rows of a list, the filters by symbol."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.utils.functional import cached_property
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ViewSet

from accounts.models import User
from market.models import Symbol
from trading.models import Account
from trading.selectors.portfolio import account_of
from web.filters import IdFilter
from web.pagination import Pages

Rows = list[Any]

# Their values are written as the database returns them.
PLAIN_FIELDS = (
    serializers.CharField,
    serializers.ChoiceField,
    serializers.DateField,
    serializers.DateTimeField,
    serializers.FloatField,
    serializers.IntegerField,
    serializers.UUIDField,
)


class AccountView(APIView):
    """A view of the paper account of the access token's user; no parameter names another one."""

    error_statuses: tuple[int, ...] = (404,)
    throttle_scope: str | None = None

    @cached_property
    def account(self) -> Account:
        # The schema generator has no user and must not need a row.
        return Account() if getattr(self, "swagger_fake_view", False) else account_of(cast(User, self.request.user))


class AccountViewSet(AccountView, ViewSet):
    """Actions on the account as a whole."""


class RowViewSet(AccountView, ListModelMixin, RetrieveModelMixin, GenericViewSet[Any]):
    """A list of the account's rows and its single rows."""

    lookup_value_converter = "int"
    # Error statuses of single actions, where they differ from `error_statuses`.
    action_error_statuses: Mapping[str, tuple[int, ...]] = {}


class ColumnPages(Pages):
    """Selects the keys of a page first: skipped rows are then read from the index alone, without joins."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        self.view = view
        keys: Any = super().paginate_queryset(queryset.values_list("pk", flat=True), request, view)
        return queryset.filter(pk__in=keys or ())

    def get_count(self, queryset: Any) -> int:
        return int(self.view.count(queryset))


class ColumnViewSet(RowViewSet):
    """Rows of lists are written from columns: a page of 500 through model instances takes five times as long."""

    pagination_class = ColumnPages

    def count(self, rows: "QuerySet[Any]") -> int:
        return rows.count()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.write_rows(page))

    def write_rows(self, page: "QuerySet[Any]") -> Rows:
        return rows_from_columns(cast("serializers.ModelSerializer[Any]", self.get_serializer()), page)


def rows_from_columns(serializer: serializers.ModelSerializer[Any], rows: "QuerySet[Any]") -> Rows:
    """The rows as the serializer writes them, in their order.

    A field with a source is one column. A field with the source "*" is given the row, a named tuple in place of the
    model instance; `Meta.columns` and `Meta.annotations` name what such fields read.
    """
    columns: list[str] = list(getattr(serializer.Meta, "columns", ()))
    annotations: dict[str, Any] = dict(getattr(serializer.Meta, "annotations", {}))
    for name, field in serializer.fields.items():
        if type(field) is serializers.DictField:
            annotations[f"{name}_text"] = Cast(name, TextField())
        elif field.source != "*":
            columns.append("__".join(field.source_attrs))
    columns = [*dict.fromkeys(columns), *annotations]
    found = list(rows.select_related(None).defer(None).annotate(**annotations).values_list(*columns, named=True))
    return write_columns(serializer, dict(zip(columns, zip(*found, strict=True), strict=False)), found)


def write_columns(serializer: serializers.Serializer[Any], columns: Mapping[str, Any], rows: Sequence[Any]) -> Rows:
    """The values of the columns as the serializer's fields write them, field by field: the fastest order in Python."""
    if not rows:
        return []
    written: list[Sequence[Any]] = []
    for name, field in serializer.fields.items():
        write = field.to_representation
        if field.source == "*":
            written.append([write(row) for row in rows])
        elif type(field) is serializers.DictField:
            written.append([stored_json(text) for text in columns[f"{name}_text"]])
        elif type(field) in PLAIN_FIELDS:
            written.append(columns["__".join(field.source_attrs)])
        else:
            column = columns["__".join(field.source_attrs)]
            written.append([None if value is None else write(value) for value in column])
    names = list(serializer.fields)
    return [dict(zip(names, row, strict=True)) for row in zip(*written, strict=True)]


def stored_json(text: str | None) -> msgspec.Raw | None:
    """JSON text of the database, written without decoding and encoding it again."""
    return None if text is None else msgspec.Raw(text.encode())


class RowFilters(filters.FilterSet):
    """The filters of every list of rows with a symbol."""

    symbol_id = IdFilter("symbol_id")
    symbol = filters.CharFilter(method="by_name", label="Such as BTCUSDT; case does not matter.")

    def by_name(self, rows: "QuerySet[Any]", name: str, value: str) -> "QuerySet[Any]":
        # By id: with a join the database could not read the page from the index in its order.
        symbol = Symbol.objects.filter(symbol=value.strip().upper()).values_list("pk", flat=True).first()
        return rows.none() if symbol is None else rows.filter(symbol_id=symbol)
