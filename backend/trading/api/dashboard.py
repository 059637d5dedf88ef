"""/api/trading/dashboard/: what the first page of a client shows."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trading.api.books import BookMixin
from trading.api.inputs import TextField, query
from trading.api.numbers import AmountField, PercentField
from trading.api.trades import TradeSerializer
from trading.models import AgentState, AgentType
from trading.selectors.analytics import closed_trades
from trading.selectors.dashboard import TIMEFRAMES, agent_statuses, chart, heatmap, newest_close, trades_since
from trading.selectors.market_time import day_start, market_now
from trading.selectors.portfolio import activity, value_of
from trading.selectors.symbols import meant_symbol

USUAL_CANDLES, MOST_CANDLES = 200, 1000
USUAL_TIMEFRAME = "1h"
STATES = AgentState.Status.values


class StatusesSerializer(serializers.Serializer[Any]):
    """How each agent of the user is doing."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return {agent: serializers.ChoiceField(choices=STATES) for agent in AgentType.values}


class OverviewSerializer(serializers.Serializer[Any]):
    balance = AmountField()
    equity = AmountField()
    todayPnL = AmountField(help_text="Realised on the current UTC day of the account's market.")
    todayTradesCount = serializers.IntegerField()
    winRate = PercentField(allow_null=True, help_text="Of the closed trades; null before the first.")
    agentsStatus = StatusesSerializer()
    activeAgentsCount = serializers.IntegerField(help_text="How many agents are RUNNING.")


class ChartQuerySerializer(serializers.Serializer[Any]):
    symbol = TextField(required=False, max_length=40, help_text="One that is followed; else that of the settings.")
    timeframe = serializers.ChoiceField(
        choices=TIMEFRAMES, required=False, help_text="Else the interval that the account trades, or 1h."
    )
    limit = serializers.IntegerField(min_value=1, max_value=MOST_CANDLES, default=USUAL_CANDLES)


class BarSerializer(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField(help_text="When it opened.")
    open = serializers.FloatField()
    high = serializers.FloatField()
    low = serializers.FloatField()
    close = serializers.FloatField()
    price = serializers.FloatField(help_text="The close.")
    volume = serializers.FloatField()


class ChartSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    timeframe = serializers.ChoiceField(choices=TIMEFRAMES)
    currentPrice = serializers.FloatField(allow_null=True, help_text="The newest close; null without any candle.")
    data = BarSerializer(many=True, help_text="Oldest first; the last may be of a period that is not over.")
    trades = TradeSerializer(many=True, help_text="The account's own within the chart, oldest first.")


class TileSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    price = serializers.FloatField(allow_null=True, help_text="The newest close; null without any candle.")
    previousPrice = serializers.FloatField(
        source="previous", allow_null=True, help_text="The last close of 24 hours before or earlier."
    )
    change = serializers.FloatField(allow_null=True)
    changePercent = serializers.FloatField(source="change_percent", allow_null=True)
    volume = serializers.FloatField(allow_null=True, help_text="Of the last 24 hours.")
    timestamp = serializers.DateTimeField(allow_null=True, help_text="When the newest candle closed.")


class Overview(BookMixin, APIView):
    @extend_schema(responses=OverviewSerializer)
    def get(self, request: Request) -> Response:
        """The account and its agents at a glance."""
        value = value_of(self.account)
        today = activity(self.account, day_start(market_now(self.account)))
        agents = agent_statuses(self.account)
        shape = {
            "balance": value.balance,
            "equity": value.equity,
            "todayPnL": today.pnl,
            "todayTradesCount": today.trades,
            "winRate": closed_trades(self.account).win_rate_percent,
            "agentsStatus": agents,
            "activeAgentsCount": list(agents.values()).count(AgentState.Status.RUNNING),
        }
        return Response(OverviewSerializer(shape).data)


class MarketChart(BookMixin, APIView):
    error_statuses = (400, 404)

    @extend_schema(responses=ChartSerializer, parameters=[ChartQuerySerializer])
    def get(self, request: Request) -> Response:
        """Candles of a followed symbol, and what the account traded meanwhile."""
        asked = query(ChartQuerySerializer, request)
        symbol = meant_symbol(self.account, asked.get("symbol"))
        interval = self.account.settings.interval
        timeframe = asked.get("timeframe", interval if interval in TIMEFRAMES else USUAL_TIMEFRAME)
        bars = chart(symbol, timeframe, asked["limit"])
        shape = {
            "symbol": symbol.symbol,
            "timeframe": timeframe,
            "currentPrice": newest_close(symbol, interval) if not bars else bars[-1]["close"],
            "data": bars,
            "trades": trades_since(self.account, symbol, bars[0]["timestamp"]) if bars else [],
        }
        return Response(ChartSerializer(shape).data)


class MarketHeatmap(BookMixin, APIView):
    @extend_schema(responses=TileSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Every followed symbol with its change over 24 hours, from stored candles."""
        return Response(TileSerializer(heatmap(self.account), many=True).data)
