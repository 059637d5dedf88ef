"""/api/trading/agents/: how the three agents are doing, and what they can be asked for."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from engine.orders import Action
from trading.api.books import BookMixin
from trading.api.decisions import DecisionSerializer
from trading.api.inputs import IdField, body
from trading.api.trades import TradeSerializer
from trading.books.accounts import start_agents, stop_agents
from trading.models import AgentLog, AgentState, AgentType, Decision, Message
from trading.runtime.on_demand import decide_now, execute_now
from trading.selectors import agents as selectors
from trading.selectors.decisions import decisions_of
from trading.selectors.symbols import followed_symbol
from trading.selectors.trades import trades_of
from web.errors import Conflict

# (type, name) as the front end knows the agents.
NAMES = {
    str(AgentType.MARKET_MONITOR): ("market", "Market Monitor"),
    str(AgentType.DECISION_MAKER): ("decision", "Decision Maker"),
    str(AgentType.EXECUTION): ("execution", "Execution Agent"),
}
SHOWN = {AgentState.Status.RUNNING: "active", AgentState.Status.ERROR: "error"}

ANSWERS = {
    ("start", True): "The agents have been started.",
    ("start", False): "The agents are running already.",
    ("stop", True): "The agents have been stopped. Open positions keep their protective exits.",
    ("stop", False): "The agents are stopped already.",
}


class AgentStateSerializer(serializers.ModelSerializer[AgentState]):
    agent_type = serializers.ChoiceField(choices=AgentType.values)
    status = serializers.ChoiceField(choices=AgentState.Status.values)
    error_message = serializers.CharField(help_text="Empty unless the status is ERROR.")
    metadata = serializers.DictField()

    class Meta:
        model = AgentState
        fields = ["id", "agent_type", "status", "last_activity", "error_message", "metadata", "updated_at"]
        read_only_fields = fields


class LogSerializer(serializers.ModelSerializer[AgentLog]):
    level = serializers.ChoiceField(choices=AgentLog.Level.values)

    class Meta:
        model = AgentLog
        fields = ["id", "level", "message", "timestamp"]
        read_only_fields = fields


class AgentDetailSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    type = serializers.ChoiceField(choices=[kind for kind, _ in NAMES.values()])
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=["active", "idle", "error"])
    lastAction = serializers.CharField(allow_null=True, help_text="The newest line of the log.")
    lastUpdated = serializers.DateTimeField()
    messagesProcessed = serializers.IntegerField()
    logs = LogSerializer(many=True)
    recentDecisions = DecisionSerializer(many=True, help_text="The ten newest of the Decision Maker.")
    currentState = serializers.DictField(help_text="What the agent works with at the moment.")


class ActionBody(serializers.Serializer[Any]):
    action = serializers.ChoiceField(choices=["start", "stop"])


class ActionAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["started", "stopped"])
    message = serializers.CharField()


class DecideBody(serializers.Serializer[Any]):
    symbol_id = IdField()


class ExecuteBody(serializers.Serializer[Any]):
    decision_id = IdField()


class ExecutionReportSerializer(serializers.Serializer[Any]):
    """The payload of an EXECUTION_REPORT message. Prices and costs are null where nothing was traded."""

    status = serializers.ChoiceField(choices=["executed", "skipped", "rejected", "failed"])
    reason_code = serializers.CharField()
    order_id = serializers.CharField()
    ticker = serializers.CharField()
    action = serializers.ChoiceField(choices=[action.name for action in Action])
    quantity = serializers.FloatField()
    requested_price = serializers.FloatField(allow_null=True)
    executed_price = serializers.FloatField(allow_null=True)
    commission = serializers.FloatField(allow_null=True)
    slippage = serializers.FloatField(allow_null=True)
    timestamp = serializers.DateTimeField()
    message = serializers.CharField()


class ExecutionSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=Decision.Status.values)
    trade = TradeSerializer(allow_null=True, help_text="Null where nothing was traded.")
    execution_result = ExecutionReportSerializer(allow_null=True)


def execution_of(decision: Decision, report: Message | None) -> dict[str, Any]:
    """What came of a decision, as POST execution and run-cycle answer it."""
    trade = trades_of(decision.account).filter(order__decision=decision).first()
    return {
        "status": decision.status,
        "trade": TradeSerializer(trade).data if trade else None,
        "execution_result": report.payload if report else None,
    }


class StatusView(BookMixin, APIView):
    @extend_schema(responses=AgentStateSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The three agents in the order market, decision, execution."""
        return Response(AgentStateSerializer(selectors.agent_status(self.account), many=True).data)


class DetailView(BookMixin, APIView):
    @extend_schema(responses=AgentDetailSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The three agents in the order market, decision, execution, each with its last ten log lines."""
        processed = selectors.messages_processed(self.account)
        current = selectors.current_state(self.account)
        states = selectors.agent_states(self.account)
        return Response([self._detail(state, processed, current) for state in states])

    def _detail(self, state: AgentState, processed: Any, current: Any) -> dict[str, Any]:
        kind, name = NAMES[state.agent_type]
        logs = list(selectors.agent_logs(self.account, state.agent_type)[: selectors.LOG_LINES])
        decides = state.agent_type == AgentType.DECISION_MAKER
        decisions = selectors.recent_decisions(self.account) if decides else []
        return {
            "id": state.pk,
            "type": kind,
            "name": name,
            "status": SHOWN.get(AgentState.Status(state.status), "idle"),
            "lastAction": logs[0].message if logs else None,
            "lastUpdated": _latest(state),
            "messagesProcessed": processed[state.agent_type],
            "logs": LogSerializer(logs, many=True).data,
            "recentDecisions": DecisionSerializer(decisions, many=True).data,
            "currentState": current[state.agent_type],
        }


def _latest(state: AgentState) -> datetime:
    return max(filter(None, (state.updated_at, state.last_activity)))


class AgentView(BookMixin, APIView):
    agent = ""

    @extend_schema(responses=AgentStateSerializer)
    def get(self, request: Request) -> Response:
        """How this agent is doing."""
        return Response(AgentStateSerializer(selectors.agent_state(self.account, self.agent)).data)


class MarketMonitorView(AgentView):
    agent = AgentType.MARKET_MONITOR

    @extend_schema(request=ActionBody, responses=ActionAnswer)
    def post(self, request: Request) -> Response:
        """Start or stop the agents of this user. Doing it twice does no harm, and the message says so."""
        action = body(ActionBody, request)["action"]
        changed = start_agents(self.account) if action == "start" else stop_agents(self.account)
        status = {"start": "started", "stop": "stopped"}[action]
        return Response({"status": status, "message": ANSWERS[action, changed]})


class DecisionMakerView(AgentView):
    agent = AgentType.DECISION_MAKER
    throttle_scope = "agents"
    error_statuses = (404, 409, 503)

    @extend_schema(request=DecideBody, responses={201: DecisionSerializer, 200: DecisionSerializer})
    def post(self, request: Request) -> Response:
        """Ask for a decision on the newest snapshot of a followed symbol: 201 when it is made now.

        A snapshot is decided on once per account: asked again, the answer is the same decision, with 200. It goes to
        the Execution Agent like every other. 409 says why there is none: `no_snapshot`, `no_model` or `agents_busy`.
        """
        symbol = followed_symbol(self.account, pk=body(DecideBody, request)["symbol_id"])
        made = decide_now(self.account, symbol)
        return Response(DecisionSerializer(made.decision).data, status=201 if made.is_new else 200)


class ExecutionView(AgentView):
    agent = AgentType.EXECUTION
    throttle_scope = "agents"
    error_statuses = (404, 409, 503)

    @extend_schema(request=ExecuteBody, responses=ExecutionSerializer)
    def post(self, request: Request) -> Response:
        """Carry out a pending decision now, through the same gate as ever. Asked again, it answers the first outcome.

        409 `decision_pending`: the first price after the decision is not known yet, or an agent is at work on it.
        """
        number = body(ExecuteBody, request)["decision_id"]
        decision = get_object_or_404(decisions_of(self.account).select_related("account"), pk=number)
        report = execute_now(decision)
        if report is None:
            raise Conflict("The decision waits for the first price after it; ask again later.", "decision_pending")
        return Response(execution_of(decision, report))
