"""/api/trading/symbols/: the symbols the user follows."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from market.errors import SymbolError
from market.symbols import Kind
from trading.api.base import RowViewSet
from trading.api.inputs import TextField, TrueOrFalseField, body
from trading.books.accounts import TooManySymbols, follow_named, set_active, unfollow
from trading.models import Follow
from trading.selectors.symbols import follows
from web.errors import Conflict
from web.filters import LARGEST_ID


class SymbolSerializer(serializers.ModelSerializer[Follow]):
    id = serializers.IntegerField(source="symbol_id")
    symbol = serializers.CharField(source="symbol.symbol")
    name = serializers.CharField(source="symbol.name")
    kind = serializers.ChoiceField(choices=[kind.value for kind in Kind], source="symbol.kind")
    source = serializers.CharField(  # type: ignore[assignment]
        allow_null=True, help_text="The source of the newest stored candle; null while there is none."
    )
    is_active = serializers.BooleanField(help_text="Whether the agents trade it or only watch it.")

    class Meta:
        model = Follow
        fields = ["id", "symbol", "name", "kind", "source", "is_active", "created_at", "updated_at"]
        read_only_fields = fields


class NewSymbolSerializer(serializers.Serializer[Any]):
    symbol = TextField(max_length=40, help_text="Such as BTCUSDT, AAPL or EURUSD; case does not matter.")


class SymbolChangeSerializer(serializers.Serializer[Any]):
    is_active = TrueOrFalseField()


class FollowFilters(filters.FilterSet):
    kind = filters.ChoiceFilter(field_name="symbol__kind", choices=[(kind.value, kind.value) for kind in Kind])
    is_active = filters.BooleanFilter()


class SymbolViewSet(RowViewSet):
    """The symbols the user follows, by name."""

    queryset = Follow.objects.none()  # for the schema
    serializer_class = SymbolSerializer
    filterset_class = FollowFilters
    lookup_field = "symbol_id"
    lookup_url_kwarg = "pk"
    action_error_statuses = {"list": (404, 409), "create": (404, 409)}

    def get_queryset(self) -> "QuerySet[Follow]":
        # Through a foreign key Django passes on any number, and SQLite has none beyond 64 bits.
        if self.kwargs.get("pk", 0) > LARGEST_ID:
            return Follow.objects.none()
        return follows(self.account)

    @extend_schema(request=NewSymbolSerializer, responses={201: SymbolSerializer, 200: SymbolSerializer})
    def create(self, request: Request) -> Response:
        """Follow a symbol: 201 when that is new, 200 when it is followed already.

        Any well-formed name is accepted, with or without stored candles: `source` is null until there are some.
        """
        try:
            symbol, is_new = follow_named(self.account, body(NewSymbolSerializer, request)["symbol"])
        except SymbolError as error:
            raise ValidationError({"symbol": [str(error)]}) from error
        except TooManySymbols as error:
            raise Conflict(str(error), "too_many_symbols") from error
        row = self.get_queryset().get(symbol=symbol)
        return Response(SymbolSerializer(row).data, status=201 if is_new else 200)

    @extend_schema(request=SymbolChangeSerializer, responses=SymbolSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Enable or disable trading of a symbol. Only `is_active` can change."""
        symbol = self.get_object().symbol
        set_active(self.account, symbol, body(SymbolChangeSerializer, request)["is_active"])
        return Response(SymbolSerializer(self.get_object()).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Unfollow a symbol. Its decisions and trades stay, and an open position keeps its protective exits."""
        unfollow(self.account, self.get_object().symbol)
        return Response(status=204)
