"""/api/trading/run-cycle/: the three agents, once."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trading.api.agents import ExecutionSerializer, execution_of
from trading.api.books import BookMixin
from trading.api.decisions import DecisionSerializer
from trading.api.inputs import SymbolQuery, query
from trading.runtime.on_demand import Cycle, run_cycle
from trading.selectors.symbols import meant_symbol


class CycleTimesSerializer(serializers.Serializer[Any]):
    started_at = serializers.DateTimeField()
    market = serializers.DateTimeField(help_text="When each agent's message was written.")
    decision = serializers.DateTimeField()
    execution = serializers.DateTimeField(required=False)
    finished_at = serializers.DateTimeField()


class CycleSerializer(serializers.Serializer[Any]):
    cycle_id = serializers.UUIDField(help_text="The correlation_id of the messages of this cycle.")
    market = serializers.DictField(help_text="The payload of the MARKET_SNAPSHOT.")
    decision = DecisionSerializer()
    execution = ExecutionSerializer(help_text="Status pending while no price after the decision is known.")
    logs = serializers.ListField(child=serializers.CharField(), help_text="A line for each agent.")
    timestamps = CycleTimesSerializer()


class RunCycleView(BookMixin, APIView):
    throttle_scope = "agents"
    error_statuses = (400, 404, 409, 503)

    @extend_schema(request=None, parameters=[SymbolQuery], responses=CycleSerializer)
    def post(self, request: Request) -> Response:
        """Market, decision and execution once, through the same messages as ever.

        Without a new candle the answer is what came of the last one: a snapshot is decided on and traded once. 409 and
        503 say why there was no decision: `no_snapshot`, `no_model`, `agents_busy`, `no_market_data`, `source_down`.
        """
        symbol = meant_symbol(self.account, query(SymbolQuery, request).get("symbol"))
        return Response(_answer(run_cycle(self.account, symbol)))


def _answer(cycle: Cycle) -> dict[str, Any]:
    decision, snapshot = cycle.decision, cycle.decision.snapshot
    return {
        "cycle_id": snapshot.correlation_id,
        "market": snapshot.payload,
        "decision": DecisionSerializer(decision).data,
        "execution": execution_of(decision, cycle.report),
        "logs": _lines(cycle),
        "timestamps": cycle.times,
    }


def _lines(cycle: Cycle) -> list[str]:
    market, report = cycle.decision.snapshot.payload, cycle.report
    close, trend = market["ohlcv"]["close"], market["analysis"]["trend"]
    outcome = f"{report.payload['status']}: {report.payload['message']}" if report else "waits for the next price"
    return [
        f"Market Monitor: {market['ticker']} closed at {close:g}, trend {trend}",
        f"Decision Maker: {cycle.decision.reasoning}",
        f"Execution Agent: {outcome}",
    ]
