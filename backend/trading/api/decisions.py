"""/api/trading/decisions/: decisions, their explanation and their outcome. Read-only but for requesting a new one."""

from typing import Any

from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from engine.features import FEATURES
from engine.reasons import RuleCode
from trading.api.base import ColumnViewSet, RowFilters, stored_json
from trading.api.inputs import IdField, body
from trading.api.messages import MessageSerializer
from trading.api.numbers import PercentField, ShareField, percent_of
from trading.api.trades import OrderSerializer, TradeSerializer
from trading.models import Decision
from trading.runtime.on_demand import decide_now
from trading.selectors.decisions import ACTIONS, decisions_of, statistics_of
from trading.selectors.symbols import followed_symbol
from trading.selectors.traces import trace_of_decision
from web.filters import SinceFilter, UntilFilter


class ProbabilitiesSerializer(serializers.Serializer[Any]):
    SELL = serializers.FloatField()
    HOLD = serializers.FloatField()
    BUY = serializers.FloatField()


class RuleSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=[code.value for code in RuleCode])
    threshold = serializers.FloatField()
    text = serializers.CharField()


CounterfactualSerializer = inline_serializer(
    "Counterfactual",
    {
        "feature": serializers.ChoiceField(choices=list(FEATURES)),
        "from": serializers.FloatField(),
        "to": serializers.FloatField(),
        "distance": serializers.FloatField(help_text="In typical changes of the feature."),
        "decision": serializers.ChoiceField(choices=ACTIONS),
        "probabilities": ProbabilitiesSerializer(),
    },
    allow_null=True,
    required=False,
    help_text="The smallest change of one feature that would have changed the decision; null where no single one does.",
)


class ExplanationSerializer(serializers.Serializer[Any]):
    """`base` and the contributions to a class add up to its raw probability, before calibration."""

    raw_probabilities = ProbabilitiesSerializer(required=False)
    base = ProbabilitiesSerializer(required=False)
    contributions = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField()),
        required=False,
        help_text="To SELL, HOLD and BUY: 14 numbers each, in the order of `features`.",
    )
    rule = RuleSerializer(help_text="The comparison that fired.")
    counterfactual = CounterfactualSerializer


class MetadataSerializer(serializers.Serializer[Any]):
    """The inputs of a decision. Fractions are from 0 to 1; quantity and price are those proposed."""

    model_type = serializers.CharField()
    model_version = serializers.CharField()
    probabilities = ProbabilitiesSerializer(allow_null=True)
    risk_score = serializers.FloatField()
    quantity = serializers.FloatField()
    price = serializers.FloatField()
    features = serializers.DictField(
        child=serializers.FloatField(), allow_null=True, help_text="The 14 inputs of the model, by name."
    )
    contributions = serializers.DictField(
        child=serializers.FloatField(),
        allow_null=True,
        help_text="Contribution of each of the 14 inputs to the probability of the decision, by name.",
    )
    explanation = ExplanationSerializer(
        required=False, allow_null=True, help_text="The complete explanation; of single decisions only, not in lists."
    )
    indicators = serializers.DictField(child=serializers.FloatField())
    analysis = serializers.DictField(help_text="Trend, strength and signals.")


METADATA_COLUMNS = ("model_type", "model_version", "risk_score", "quantity", "price")
EXPLAINED = ("probabilities", "features", "contributions")
OBSERVED = ("indicators", "analysis")


@extend_schema_field(MetadataSerializer)
class MetadataField(serializers.Field[Any, Any, Any, Any]):
    """Written without a serializer: its forty numbers in each of 500 rows would take most of the time of a page."""

    def __init__(self) -> None:
        super().__init__(source="*", read_only=True)

    def to_representation(self, decision: Any) -> dict[str, Any]:
        metadata = {name: getattr(decision, name) for name in METADATA_COLUMNS}
        if isinstance(decision, Decision):
            market = decision.snapshot.payload
            explained = {name: decision.explanation.get(name) for name in (*EXPLAINED, "explanation")}
            return {**metadata, **explained, **{name: market[name] for name in OBSERVED}}
        # A row of a list; without the explanation, which is long.
        return {**metadata, **{name: stored_json(getattr(decision, name)) for name in (*EXPLAINED, *OBSERVED)}}


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    symbol_name = serializers.CharField(source="symbol.name")
    decision = serializers.ChoiceField(choices=ACTIONS, source="action")
    confidence = ShareField(help_text="In percent.")
    metadata = MetadataField()
    status = serializers.ChoiceField(choices=Decision.Status.values)
    reason_code = serializers.CharField(
        help_text="The occasion of an execution or the code of a refusal; empty while pending."
    )

    class Meta:
        model = Decision
        fields = [
            "id",
            "symbol",
            "symbol_id",
            "symbol_name",
            "decision",
            "confidence",
            "reasoning",
            "metadata",
            "interval",
            "close_time",
            "created_at",
            "status",
            "executed_at",
            "reason_code",
        ]
        read_only_fields = fields
        columns = METADATA_COLUMNS
        annotations = {
            **{name: KeyTextTransform(name, "explanation") for name in EXPLAINED},
            **{name: KeyTextTransform(name, "snapshot__payload") for name in OBSERVED},
        }


class NewDecisionSerializer(serializers.Serializer[Any]):
    symbol_id = IdField()


class ActionCountSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    percentage = PercentField(help_text="Of all decisions; null when there are none.", allow_null=True)


class ActionCountsSerializer(serializers.Serializer[Any]):
    BUY = ActionCountSerializer()
    SELL = ActionCountSerializer()
    HOLD = ActionCountSerializer()


class StatisticsSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    by_decision = ActionCountsSerializer()
    by_status = serializers.DictField(child=serializers.IntegerField())
    by_reason = serializers.DictField(child=serializers.IntegerField())
    recent = DecisionSerializer(many=True)


class TraceSerializer(serializers.Serializer[Any]):
    correlation_id = serializers.UUIDField(source="decision.snapshot.correlation_id")
    snapshot = MessageSerializer(source="decision.snapshot")
    decision = DecisionSerializer()
    decision_message = MessageSerializer(allow_null=True)
    order = OrderSerializer(allow_null=True)
    fills = TradeSerializer(many=True)
    report = MessageSerializer(allow_null=True)


class DecisionFilters(RowFilters):
    action = filters.ChoiceFilter(field_name="action", choices=[(name, name) for name in ACTIONS])
    decision = filters.ChoiceFilter(field_name="action", choices=[(name, name) for name in ACTIONS])
    status = filters.ChoiceFilter(field_name="status", choices=Decision.Status.choices)
    from_date = SinceFilter("created_at")
    to_date = UntilFilter("created_at")


class DecisionViewSet(ColumnViewSet):
    """Decisions, newest first."""

    queryset = Decision.objects.none()  # for the schema
    serializer_class = DecisionSerializer
    filterset_class = DecisionFilters
    action_error_statuses = {"list": (404, 409, 503), "create": (404, 409, 503)}

    def get_queryset(self) -> "QuerySet[Decision]":
        return decisions_of(self.account)

    @extend_schema(request=NewDecisionSerializer, responses={201: DecisionSerializer, 200: DecisionSerializer})
    def create(self, request: Request) -> Response:
        """Request a decision on the newest snapshot of a followed symbol, as `agents/decision-maker/` does.

        201 for a new decision. A snapshot is decided once per account: a repeated request returns it, with 200.
        """
        symbol = followed_symbol(self.account, pk=body(NewDecisionSerializer, request)["symbol_id"])
        made = decide_now(self.account, symbol)
        return Response(DecisionSerializer(made.decision).data, status=201 if made.is_new else 200)

    @extend_schema(responses=StatisticsSerializer, filters=True)
    @action(detail=False, pagination_class=None)
    def statistics(self, request: Request) -> Response:
        """The number of decisions of each kind, and the ten newest. Takes the filters of the list."""
        found = statistics_of(self.filter_queryset(self.get_queryset()))
        total = found.by_action.total()
        counts = {
            name: {"count": found.by_action[name], "percentage": percent_of(found.by_action[name], total)}
            for name in ("BUY", "SELL", "HOLD")
        }
        answer = {
            "total": total,
            "by_decision": counts,
            "by_status": {status: found.by_status[status] for status in Decision.Status.values},
            "by_reason": found.by_reason,
            "recent": found.recent,
        }
        return Response(StatisticsSerializer(answer).data)

    @extend_schema(responses=TraceSerializer)
    # Not named `trace`, which would serve the HTTP method TRACE.
    @action(detail=True, url_path="trace")
    def show_trace(self, request: Request, pk: int) -> Response:
        """Snapshot, decision, order, fills and report, with every id and time; null where the chain ended early."""
        decision = get_object_or_404(self.get_queryset().defer(None), pk=pk)
        return Response(TraceSerializer(trace_of_decision(decision)).data)
