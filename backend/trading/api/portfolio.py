"""/api/trading/portfolio/: what the account is worth, and how that has changed."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trading.api.books import BookMixin
from trading.api.numbers import AmountField, PercentField, with_places
from trading.api.positions import AccountSerializer, PositionSerializer
from trading.api.trades import TradeSerializer
from trading.models import EquityPoint
from trading.selectors.equity import Course, course_of, equity_points, sharpe_ratio
from trading.selectors.market_time import day_start, market_now
from trading.selectors.portfolio import Value, activity, value_of
from trading.selectors.positions import open_positions
from trading.selectors.trades import trades_of
from web.fields import MoneyField
from web.filters import SinceFilter, UntilFilter

LATEST_TRADES = 50


class PortfolioSerializer(AccountSerializer):
    totalTrades = serializers.IntegerField(help_text="Buys and sells, as `trades/` counts them.")
    todayPnL = AmountField(help_text="Realised on the current UTC day of the account's market.")
    totalPnL = AmountField(help_text="Realised since the beginning: balance - initialBalance.")
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
    data = EquityPointSerializer(many=True)


class PointFilters(filters.FilterSet):
    from_date = SinceFilter("time")
    to_date = UntilFilter("time")


class PortfolioView(BookMixin, APIView):
    @extend_schema(responses=PortfolioSerializer)
    def get(self, request: Request) -> Response:
        """Cash, open positions at their last close, and the 50 newest trades."""
        account = self.account
        since = day_start(market_now(account))
        shape = {
            **figures(value_of(account)),
            "totalTrades": trades_of(account).count(),
            "todayPnL": activity(account, since).pnl,
            "positions": open_positions(account),
            "trades": trades_of(account)[:LATEST_TRADES],
        }
        return Response(PortfolioSerializer(shape).data)


class EquityCurve(BookMixin, generics.GenericAPIView):
    queryset = EquityPoint.objects.none()  # for the schema
    filterset_class = PointFilters
    pagination_class = None

    @extend_schema(responses=EquityCurveSerializer, filters=True)
    def get(self, request: Request) -> Response:
        """Balance and equity at each close, thinned to at most 500 points, with drawdown and Sharpe ratio."""
        value = value_of(self.account)
        course = course_of(self.filter_queryset(equity_points(self.account)))
        # A period that was asked for begins where its first point stands.
        drawdown = course.drawdown(None if request.query_params.get("from_date") else value.initial)
        shape: dict[str, Any] = {
            "initialBalance": value.initial,
            "currentBalance": value.balance,
            "maxDrawdown": drawdown and drawdown[0],
            "maxDrawdownPercent": drawdown and drawdown[1],
            "sharpeRatio": sharpe_ratio(course),
            "data": [],
        }
        return Response({**EquityCurveSerializer(shape).data, "data": points(course)})


def points(course: Course) -> list[dict[str, Any]]:
    """As EquityPointSerializer says, without its work for each of 500 points."""
    return [
        {"date": time, "day": time.date(), "balance": with_places(balance, 2), "equity": with_places(equity, 2)}
        for time, balance, equity in course.chart()
    ]


def figures(value: Value) -> dict[str, Any]:
    names = ("balance", "equity", "cash", "used", "initial", "unrealised")
    return {**{name: getattr(value, name) for name in names}, "totalPnL": value.realised}
