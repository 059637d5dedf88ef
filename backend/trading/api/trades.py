"""/api/trading/trades/: orders that were filled. Read-only."""

from decimal import Decimal
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import generics, serializers

from engine.orders import Reason
from trading.api.books import BookList, BookMixin, SymbolFilters
from trading.api.numbers import AmountField, ExactField, PercentField, amount, percent_of, with_places
from trading.models import AgentType, Order, Trade
from trading.selectors.trades import trades_of
from web.filters import SinceFilter, UntilFilter

SIDES = ["BUY", "SELL"]
AGENT = str(AgentType.EXECUTION)


class OrderSerializer(serializers.ModelSerializer[Order]):
    order_id = serializers.CharField(source="client_order_id")
    quantity = ExactField()
    requested_price = AmountField()
    reason = serializers.ChoiceField(choices=[reason.value for reason in Reason])

    class Meta:
        model = Order
        fields = ["id", "order_id", "action", "quantity", "requested_price", "reason", "created_at"]
        read_only_fields = fields


def profit_percent(trade: Any) -> Decimal | None:
    return None if trade.pnl is None or trade.cost is None else percent_of(trade.pnl, trade.cost)


class TradeSerializer(serializers.ModelSerializer[Trade]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    symbol_name = serializers.CharField(source="symbol.name")
    action = serializers.ChoiceField(choices=SIDES)
    price = AmountField(help_text="What was paid or received for one unit, after slippage.")
    requested_price = AmountField(source="order.requested_price")
    quantity = ExactField()
    commission = AmountField()
    slippage = AmountField(help_text="For one unit.")
    pnl = AmountField(allow_null=True, help_text="Net of both commissions; null for a BUY.")
    pnl_percent = serializers.SerializerMethodField()
    order_id = serializers.CharField(source="order.client_order_id", help_text="As in the EXECUTION_REPORT.")
    decision_id = serializers.IntegerField(
        source="order.decision_id", allow_null=True, help_text="Null for protective exits and orders by hand."
    )
    reason = serializers.ChoiceField(choices=[reason.value for reason in Reason], source="order.reason")
    agent = serializers.SerializerMethodField()

    class Meta:
        model = Trade
        fields = [
            "id",
            "symbol",
            "symbol_id",
            "symbol_name",
            "action",
            "price",
            "requested_price",
            "quantity",
            "commission",
            "slippage",
            "pnl",
            "pnl_percent",
            "order_id",
            "decision_id",
            "reason",
            "agent",
            "timestamp",
        ]
        read_only_fields = fields

    @extend_schema_field(PercentField(allow_null=True, help_text="Of what was paid for the part that was sold."))
    def get_pnl_percent(self, trade: Trade) -> Decimal | None:
        return profit_percent(trade)

    @extend_schema_field(serializers.ChoiceField(choices=[AGENT]))
    def get_agent(self, trade: Trade) -> str:
        return AGENT


class TradeFilters(SymbolFilters):
    action = filters.ChoiceFilter(field_name="action", choices=[(side, side) for side in SIDES])
    from_date = SinceFilter("timestamp")
    to_date = UntilFilter("timestamp")


class TradeMixin(BookMixin):
    queryset = Trade.objects.none()  # for the schema
    serializer_class = TradeSerializer

    def get_queryset(self) -> Any:
        return trades_of(self.account)


SYMBOL_COLUMNS = ("id", "symbol_id", "symbol__symbol", "symbol__name")
COLUMNS = (*SYMBOL_COLUMNS, "action", "price", "quantity", "commission", "slippage", "pnl", "cost", "timestamp")
ORDER_COLUMNS = ("order__requested_price", "order__client_order_id", "order__decision_id", "order__reason")


class TradeList(TradeMixin, BookList):
    """Trades, newest first."""

    filterset_class = TradeFilters

    def written(self, rows: Any) -> list[dict[str, Any]]:
        plain = rows.select_related(None).values_list(*COLUMNS, *ORDER_COLUMNS, named=True)
        return [_written(row) for row in plain]


def _written(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "symbol": row.symbol__symbol,
        "symbol_id": row.symbol_id,
        "symbol_name": row.symbol__name,
        "action": row.action,
        "price": amount(row.price),
        "requested_price": amount(row.order__requested_price),
        "quantity": with_places(row.quantity, 0),
        "commission": amount(row.commission),
        "slippage": amount(row.slippage),
        "pnl": amount(row.pnl),
        "pnl_percent": profit_percent(row),
        "order_id": row.order__client_order_id,
        "decision_id": row.order__decision_id,
        "reason": row.order__reason,
        "agent": AGENT,
        "timestamp": row.timestamp,
    }


class TradeDetail(TradeMixin, generics.RetrieveAPIView):
    """One trade."""
