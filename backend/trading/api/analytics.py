"""/api/trading/analytics/: performance of the account. Undefined figures are null."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from trading.api.base import AccountViewSet
from trading.api.numbers import AmountField, PercentField, percent_of
from trading.selectors.analytics import breakdown, closed_trades, daily_profits
from trading.selectors.equity import equity_curve, equity_points, ratios
from trading.selectors.portfolio import value_of
from web.fields import MoneyField


class PerformanceSerializer(serializers.Serializer[Any]):
    totalReturn = AmountField(help_text="Equity now, less the initial balance.")
    returnPercent = PercentField(help_text="Of the initial balance.")
    sharpeRatio = serializers.FloatField(allow_null=True, help_text="Annualised, risk-free rate zero.")
    sortinoRatio = serializers.FloatField(allow_null=True)
    winRate = PercentField(allow_null=True, help_text="Of the closed trades.")
    profitFactor = serializers.FloatField(allow_null=True, help_text="Gross profit over gross loss.")
    maxDrawdown = MoneyField(allow_null=True)
    maxDrawdownPercent = PercentField(allow_null=True)
    totalTrades = serializers.IntegerField(help_text="Closed trades: each sale counts as one.")
    winningTrades = serializers.IntegerField()
    losingTrades = serializers.IntegerField()
    avgWin = MoneyField(allow_null=True)
    avgLoss = MoneyField(allow_null=True, help_text="As a positive amount.")
    winLossRatio = serializers.FloatField(allow_null=True, help_text="avgWin over avgLoss.")
    exposurePercent = PercentField(allow_null=True, help_text="Share of the closes at which a position was open.")
    totalCommission = AmountField()


class DayProfitSerializer(serializers.Serializer[Any]):
    date = serializers.DateField()
    pnl = AmountField(help_text="Cumulative realised profit at the end of the day.")
    dayPnL = AmountField(help_text="Realised on the day.")


class ProfitCurveSerializer(serializers.Serializer[Any]):
    initialBalance = AmountField()
    currentBalance = AmountField()
    totalPnL = AmountField(help_text="Realised: currentBalance - initialBalance.")
    data = DayProfitSerializer(many=True, help_text="One for each UTC day with a sale.")  # type: ignore[assignment]


class MonthSerializer(serializers.Serializer[Any]):
    month = serializers.CharField(help_text="Such as 2026-11.")
    pnl = AmountField()
    trades = serializers.IntegerField(help_text="Buys and sells.")


class BreakdownSerializer(serializers.Serializer[Any]):
    """Realised profit by UTC days of the account's market; weeks begin on Monday."""

    today = AmountField()
    yesterday = AmountField()
    thisWeek = AmountField(source="this_week")
    thisMonth = AmountField(source="this_month")
    lastMonth = AmountField(source="last_month")
    monthly = MonthSerializer(many=True)


class AnalyticsViewSet(AccountViewSet):
    @extend_schema(responses=PerformanceSerializer)
    @action(detail=False, url_path="performance-metrics")
    def performance_metrics(self, request: Request) -> Response:
        """Return, risk and trade statistics since the account was opened."""
        value, trades = value_of(self.account), closed_trades(self.account)
        curve = equity_curve(equity_points(self.account))
        drawdown, found = curve.drawdown(value.initial), ratios(self.account, curve)
        shape = {
            "totalReturn": value.equity - value.initial,
            "returnPercent": percent_of(value.equity - value.initial, value.initial),
            "sharpeRatio": found and found.sharpe,
            "sortinoRatio": found and found.sortino,
            "winRate": trades.win_rate_percent,
            "profitFactor": trades.profit_factor,
            "maxDrawdown": drawdown and drawdown[0],
            "maxDrawdownPercent": drawdown and drawdown[1],
            "totalTrades": trades.total,
            "winningTrades": trades.winning,
            "losingTrades": trades.losing,
            "avgWin": trades.average_win,
            "avgLoss": trades.average_loss,
            "winLossRatio": trades.win_loss_ratio,
            "exposurePercent": found and found.exposure_percent,
            "totalCommission": trades.commission,
        }
        return Response(PerformanceSerializer(shape).data)

    @extend_schema(responses=ProfitCurveSerializer)
    @action(detail=False, url_path="pnl-curve")
    def pnl_curve(self, request: Request) -> Response:
        """Cumulative realised profit by day."""
        value = value_of(self.account)
        shape = {
            "initialBalance": value.initial,
            "currentBalance": value.balance,
            "totalPnL": value.realised,
            "data": [{"date": day, "pnl": until, "dayPnL": pnl} for day, pnl, until in daily_profits(self.account)],
        }
        return Response(ProfitCurveSerializer(shape).data)

    @extend_schema(responses=BreakdownSerializer)
    @action(detail=False, url_path="monthly-breakdown")
    def monthly_breakdown(self, request: Request) -> Response:
        """Realised profit of the current day, week and month, and of every month with a trade."""
        return Response(BreakdownSerializer(breakdown(self.account)).data)
