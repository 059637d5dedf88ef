"""/api/trading/positions/: what is held, what was held, and closing it by hand."""

from decimal import Decimal
from typing import Any

from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from engine.orders import exact
from trading.api.books import BookList, BookMixin, SymbolFilters
from trading.api.inputs import IdField, body
from trading.api.numbers import AmountField, ExactField, PercentField, amount, percent_of, with_places
from trading.api.trades import TradeSerializer
from trading.models import Account, Position
from trading.runtime.manual_orders import close_position
from trading.selectors.portfolio import value_of, worth
from trading.selectors.positions import positions_of


def profit(position: Any) -> Decimal:
    """At the last mark while it is open; what its sales have earned once it is closed."""
    if position.closed_at is None:
        return worth(position.quantity, position.mark) - position.cost
    pnl: Decimal = position.pnl
    return pnl


def profit_percent(position: Any) -> Decimal | None:
    return percent_of(profit(position), position.cost if position.closed_at is None else position.sold_cost)


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

    @extend_schema_field(AmountField(help_text="The close at which it was last valued."))
    def get_currentPrice(self, position: Position) -> Decimal:
        return with_places(exact(position.mark), 2)

    @extend_schema_field(
        AmountField(help_text="Open: what it would earn at the current price. Closed: what it earned.")
    )
    def get_pnl(self, position: Position) -> Decimal:
        return with_places(profit(position), 2)

    @extend_schema_field(PercentField(allow_null=True, help_text="Of what was paid for it, commission included."))
    def get_pnlPercent(self, position: Position) -> Decimal | None:
        return profit_percent(position)

    def get_is_open(self, position: Position) -> bool:
        return position.closed_at is None


class AccountSerializer(serializers.Serializer[Any]):
    """balance = freeCash + usedMargin, and equity = balance + unrealizedPnL."""

    balance = AmountField()
    equity = AmountField(help_text="Free cash and the open positions at their current prices.")
    freeCash = AmountField(source="cash")
    usedMargin = AmountField(source="used", help_text="What the open positions have cost, commissions included.")
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


class PositionFilters(SymbolFilters):
    is_open = filters.ChoiceFilter(method="by_state", choices=[("true", "open"), ("false", "closed")])

    def by_state(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(closed_at__isnull=value == "true")


class PositionMixin(BookMixin):
    queryset = Position.objects.none()  # for the schema
    serializer_class = PositionSerializer

    def get_queryset(self) -> Any:
        return positions_of(self.account)


SYMBOL_COLUMNS = ("id", "symbol_id", "symbol__symbol")
COLUMNS = (
    *SYMBOL_COLUMNS,
    "quantity",
    "cost",
    "entry_price",
    "mark",
    "stop_loss",
    "take_profit",
    "pnl",
    "sold_cost",
    "opened_at",
    "closed_at",
)


class PositionList(PositionMixin, BookList):
    """Positions, newest first; `is_open` shows only those that are open, or only those that are not."""

    filterset_class = PositionFilters

    def written(self, rows: Any) -> list[dict[str, Any]]:
        return [_written(row) for row in rows.select_related(None).values_list(*COLUMNS, named=True)]


def _written(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "symbol": row.symbol__symbol,
        "symbol_id": row.symbol_id,
        "quantity": with_places(row.quantity, 0),
        "entryPrice": amount(row.entry_price),
        "currentPrice": amount(exact(row.mark)),
        "pnl": amount(profit(row)),
        "pnlPercent": profit_percent(row),
        "stopLoss": amount(row.stop_loss),
        "takeProfit": amount(row.take_profit),
        "openedAt": row.opened_at,
        "closedAt": row.closed_at,
        "is_open": row.closed_at is None,
    }


class PositionDetail(PositionMixin, generics.RetrieveAPIView):
    """One position."""


class ClosePosition(BookMixin, APIView):
    error_statuses = (404, 409, 503)

    @extend_schema(request=CloseSerializer, responses=ClosedSerializer)
    def post(self, request: Request) -> Response:
        """Sell all of a position at the first price that can be had now. 409 when it is closed already."""
        wanted = body(CloseSerializer, request)["position_id"]
        position = get_object_or_404(positions_of(self.account), pk=wanted)
        trade = close_position(self.account, position)
        return Response(ClosedSerializer(closed(self.account, trade)).data)


def closed(account: Account, trade: Any) -> dict[str, Any]:
    return {
        "status": "closed",
        "message": f"Sold {trade.quantity.normalize():f} {trade.symbol} at {trade.price.normalize():f}.",
        "trade": trade,
        "pnl": trade.pnl,
        "account": value_of(account),
    }
