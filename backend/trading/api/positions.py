"""/api/trading/positions/: open and closed positions, and closing one manually."""

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from engine.orders import exact
from trading.api.base import ColumnViewSet, RowFilters
from trading.api.inputs import IdField, body
from trading.api.numbers import AmountField, ExactField, PercentField, percent_of, with_places
from trading.api.trades import TradeSerializer
from trading.models import Position
from trading.runtime.manual_orders import close_position
from trading.selectors.portfolio import positions_of, value_of, worth


def profit(position: Any) -> Decimal:
    """Unrealised at the last mark while the position is open, realised once it is closed.

    `position` is a Position, or a row of its columns in a list.
    """
    if position.closed_at:
        return Decimal(position.pnl)
    symbol = position.symbol.symbol if isinstance(position, Position) else position.symbol__symbol
    return worth(symbol, position.quantity, position.mark) - Decimal(position.cost)


class PositionSerializer(serializers.ModelSerializer[Position]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    quantity = ExactField(help_text="Zero once it is closed.")
    entryPrice = AmountField(source="entry_price")
    currentPrice = serializers.SerializerMethodField()
    pnl = serializers.SerializerMethodField()
    pnlPercent = serializers.SerializerMethodField()
    stopLoss = AmountField(source="stop_loss", allow_null=True)
    takeProfit = AmountField(source="take_profit", allow_null=True)
    openedAt = serializers.DateTimeField(source="opened_at")
    closedAt = serializers.DateTimeField(source="closed_at", allow_null=True)
    is_open = serializers.SerializerMethodField()

    class Meta:
        model = Position
        fields = [
            "id",
            "symbol",
            "symbol_id",
            "quantity",
            "entryPrice",
            "currentPrice",
            "pnl",
            "pnlPercent",
            "stopLoss",
            "takeProfit",
            "openedAt",
            "closedAt",
            "is_open",
        ]
        read_only_fields = fields
        columns = ["quantity", "mark", "cost", "pnl", "sold_cost", "closed_at"]

    @extend_schema_field(AmountField(help_text="The close of its last valuation."))
    def get_currentPrice(self, position: Position) -> Decimal:
        return with_places(exact(position.mark), 2)

    @extend_schema_field(AmountField(help_text="Unrealised at the current price while open, realised once closed."))
    def get_pnl(self, position: Position) -> Decimal:
        return with_places(profit(position), 2)

    @extend_schema_field(PercentField(allow_null=True, help_text="Of its cost, commission included."))
    def get_pnlPercent(self, position: Position) -> Decimal | None:
        return percent_of(profit(position), position.sold_cost if position.closed_at else position.cost)

    def get_is_open(self, position: Position) -> bool:
        return position.closed_at is None


class AccountSerializer(serializers.Serializer[Any]):
    """balance = freeCash + usedMargin, and equity = balance + unrealizedPnL."""

    balance = AmountField()
    equity = AmountField(help_text="Free cash and the open positions at their current prices.")
    freeCash = AmountField(source="cash")
    usedMargin = AmountField(source="used", help_text="Cost of the open positions, commissions included.")
    initialBalance = AmountField(source="initial")
    unrealizedPnL = AmountField(source="unrealised")


class CloseSerializer(serializers.Serializer[Any]):
    position_id = IdField()


class ClosedSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["closed"])
    message = serializers.CharField()
    trade = TradeSerializer()
    pnl = AmountField(help_text="Of this sale, net of both commissions.")
    account = AccountSerializer()


class PositionFilters(RowFilters):
    is_open = filters.ChoiceFilter(method="by_state", choices=[("true", "open"), ("false", "closed")])

    def by_state(self, rows: "QuerySet[Position]", name: str, value: str) -> "QuerySet[Position]":
        return rows.filter(closed_at__isnull=value == "true")


class PositionViewSet(ColumnViewSet):
    """Open and closed positions, newest first."""

    queryset = Position.objects.none()  # for the schema
    serializer_class = PositionSerializer
    filterset_class = PositionFilters

    def get_queryset(self) -> "QuerySet[Position]":
        return positions_of(self.account)

    @extend_schema(request=CloseSerializer, responses=ClosedSerializer)
    @action(detail=False, methods=["post"], error_statuses=(404, 409, 503))
    def close(self, request: Request) -> Response:
        """Sell the whole position at the first available price. 409 when it is closed already."""
        position = get_object_or_404(positions_of(self.account), pk=body(CloseSerializer, request)["position_id"])
        trade = close_position(self.account, position)
        answer = {
            "status": "closed",
            "message": f"Sold {trade.quantity.normalize():f} {trade.symbol} at {trade.price.normalize():f}.",
            "trade": trade,
            "pnl": trade.pnl,
            "account": value_of(self.account),
        }
        return Response(ClosedSerializer(answer).data)
