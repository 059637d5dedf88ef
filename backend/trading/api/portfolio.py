"""/api/trading/portfolio/: the value of the account, and its equity curve."""

from dataclasses import asdict
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from trading.api.base import AccountView, write_columns
from trading.api.numbers import AmountField, PercentField
from trading.api.positions import AccountSerializer, PositionSerializer
from trading.api.trades import TradeSerializer
from trading.models import EquityPoint
from trading.selectors.equity import equity_curve, equity_points, sharpe_ratio
from trading.selectors.portfolio import day_start, market_now, open_positions, result_since, trades_of, value_of
from web.fields import MoneyField
from web.filters import SinceFilter, UntilFilter

LATEST_TRADES = 50


class PortfolioSerializer(AccountSerializer):
    totalTrades = serializers.IntegerField(help_text="Buys and sells, as `trades/` counts them.")
    todayPnL = AmountField(help_text="Realised on the current UTC day of the account's market.")
    totalPnL = AmountField(help_text="Realised since the account was opened: balance - initialBalance.")
    positions = PositionSerializer(many=True)
    trades = TradeSerializer(many=True)


class EquityPointSerializer(serializers.Serializer[Any]):
    date = serializers.DateTimeField(help_text="The close at which the account was valued.")
    day = serializers.DateField(help_text="Its UTC day.")
    balance = AmountField()
    equity = AmountField()


class EquityCurveSerializer(serializers.Serializer[Any]):
    initialBalance = AmountField()
    currentBalance = AmountField()
    maxDrawdown = MoneyField(allow_null=True, help_text="In money; null before the first valuation.")
    maxDrawdownPercent = PercentField(allow_null=True)
    sharpeRatio = serializers.FloatField(
        allow_null=True, help_text="Annualised, over the points of the period; null where it is not defined."
    )
    data = EquityPointSerializer(many=True)  # type: ignore[assignment]


class PointFilters(filters.FilterSet):
    from_date = SinceFilter("time")
    to_date = UntilFilter("time")


class PortfolioView(AccountView):
    @extend_schema(responses=PortfolioSerializer)
    def get(self, request: Request) -> Response:
        """Cash, open positions at their last close, and the 50 newest trades."""
        value, trades = value_of(self.account), trades_of(self.account)
        shape = {
            **asdict(value),
            "balance": value.balance,
            "equity": value.equity,
            "unrealised": value.unrealised,
            "totalPnL": value.realised,
            "totalTrades": trades.count(),
            "todayPnL": result_since(self.account, day_start(market_now(self.account))).pnl,
            "positions": open_positions(self.account),
            "trades": trades[:LATEST_TRADES],
        }
        return Response(PortfolioSerializer(shape).data)


class EquityCurveView(AccountView, GenericAPIView[EquityPoint]):
    queryset = EquityPoint.objects.none()  # for the schema
    filterset_class = PointFilters
    pagination_class = None

    @extend_schema(responses=EquityCurveSerializer, filters=True)
    def get(self, request: Request) -> Response:
        """Balance and equity at each close, thinned to at most 500 points, with drawdown and Sharpe ratio."""
        value = value_of(self.account)
        curve = equity_curve(self.filter_queryset(equity_points(self.account)))
        # With from_date the drawdown starts at the first point of the period.
        drawdown = curve.drawdown(None if request.query_params.get("from_date") else value.initial)
        shape: dict[str, Any] = {
            "initialBalance": value.initial,
            "currentBalance": value.balance,
            "maxDrawdown": drawdown and drawdown[0],
            "maxDrawdownPercent": drawdown and drawdown[1],
            "sharpeRatio": sharpe_ratio(curve),
            "data": [],
        }
        points = curve.chart()
        columns: dict[str, Any] = dict(zip(("date", "balance", "equity"), zip(*points, strict=True), strict=False))
        columns["day"] = [time.date() for time, _, _ in points]
        data = write_columns(EquityPointSerializer(), columns, points)
        figures: Any = EquityCurveSerializer(shape).data
        return Response({**figures, "data": data})
