"""/api/trading/dashboard/: the first page of a client."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from trading.api.base import AccountViewSet
from trading.api.inputs import TextField, query
from trading.api.numbers import AmountField, PercentField
from trading.api.trades import TradeSerializer
from trading.models import AgentState, AgentType
from trading.selectors.analytics import closed_trades
from trading.selectors.dashboard import TIMEFRAMES, agent_statuses, chart, heatmap, newest_close, trades_since
from trading.selectors.portfolio import day_start, market_now, result_since, value_of
from trading.selectors.symbols import symbol_or_default

USUAL_CANDLES, MOST_CANDLES = 200, 1000
USUAL_TIMEFRAME = "1h"
STATES = AgentState.Status.values


class StatusesSerializer(serializers.Serializer[Any]):
    """The status of each agent."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
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
    symbol = TextField(
        required=False, max_length=40, help_text="A followed symbol. Default: the symbol of the settings."
    )
    timeframe = serializers.ChoiceField(
        choices=TIMEFRAMES, required=False, help_text="Default: the interval of the settings, or 1h."
    )
    limit = serializers.IntegerField(min_value=1, max_value=MOST_CANDLES, default=USUAL_CANDLES)


class BarSerializer(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField(help_text="Open time.")
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
    data = BarSerializer(many=True, help_text="Oldest first; the last may be incomplete.")  # type: ignore[assignment]
    trades = TradeSerializer(many=True, help_text="The account's trades within the chart, oldest first.")


class TileSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    price = serializers.FloatField(allow_null=True, help_text="The newest close; null without any candle.")
    previousPrice = serializers.FloatField(
        source="previous", allow_null=True, help_text="The last close at least 24 hours before the newest."
    )
    change = serializers.FloatField(allow_null=True)
    changePercent = serializers.FloatField(source="change_percent", allow_null=True)
    volume = serializers.FloatField(allow_null=True, help_text="Of the last 24 hours.")
    timestamp = serializers.DateTimeField(allow_null=True, help_text="Close time of the newest candle.")


class DashboardViewSet(AccountViewSet):
    @extend_schema(responses=OverviewSerializer)
    @action(detail=False)
    def overview(self, request: Request) -> Response:
        """Figures of the account, and the status of its agents."""
        value = value_of(self.account)
        today = result_since(self.account, day_start(market_now(self.account)))
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

    @extend_schema(responses=ChartSerializer, parameters=[ChartQuerySerializer])
    @action(detail=False, url_path="market-chart", error_statuses=(400, 404))
    def market_chart(self, request: Request) -> Response:
        """Candles of a followed symbol, and the account's trades within them."""
        asked = query(ChartQuerySerializer, request)
        symbol = symbol_or_default(self.account, asked.get("symbol"))
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

    @extend_schema(responses=TileSerializer(many=True))
    @action(detail=False, url_path="market-heatmap")
    def market_heatmap(self, request: Request) -> Response:
        """Every followed symbol with its change over 24 hours, from stored candles."""
        return Response(TileSerializer(heatmap(self.account), many=True).data)
