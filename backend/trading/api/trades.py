"""/api/trading/trades/: executed trades. Read-only."""

from decimal import Decimal

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from engine.orders import Reason
from trading.api.base import ColumnViewSet, RowFilters
from trading.api.numbers import AmountField, ExactField, PercentField, percent_of
from trading.models import AgentType, Order, Trade
from trading.selectors.portfolio import trades_of
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


class TradeSerializer(serializers.ModelSerializer[Trade]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    symbol_name = serializers.CharField(source="symbol.name")
    action = serializers.ChoiceField(choices=SIDES)
    price = AmountField(help_text="Fill price of one unit, after slippage.")
    requested_price = AmountField(source="order.requested_price")
    quantity = ExactField()
    commission = AmountField()
    slippage = AmountField(help_text="Per unit.")
    pnl = AmountField(allow_null=True, help_text="Net of both commissions; null for a BUY.")
    pnl_percent = serializers.SerializerMethodField()
    order_id = serializers.CharField(source="order.client_order_id", help_text="As in the EXECUTION_REPORT.")
    decision_id = serializers.IntegerField(
        source="order.decision_id", allow_null=True, help_text="Null for protective exits and manual orders."
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
        columns = ["pnl", "cost"]

    @extend_schema_field(PercentField(allow_null=True, help_text="Of the entry cost of the quantity sold."))
    def get_pnl_percent(self, trade: Trade) -> Decimal | None:
        return None if trade.pnl is None or trade.cost is None else percent_of(trade.pnl, trade.cost)

    @extend_schema_field(serializers.ChoiceField(choices=[AGENT]))
    def get_agent(self, trade: Trade) -> str:
        return AGENT


class TradeFilters(RowFilters):
    action = filters.ChoiceFilter(field_name="action", choices=[(side, side) for side in SIDES])
    from_date = SinceFilter("timestamp")
    to_date = UntilFilter("timestamp")


class TradeViewSet(ColumnViewSet):
    """Executed trades, newest first."""

    queryset = Trade.objects.none()  # for the schema
    serializer_class = TradeSerializer
    filterset_class = TradeFilters

    def get_queryset(self) -> "QuerySet[Trade]":
        return trades_of(self.account)
