"""/api/trading/decisions/: what was decided, why, and what became of it. Read-only but for asking for a new one."""

from typing import Any

import msgspec
from django.db.models.fields.json import KeyTextTransform
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from engine.features import FEATURES
from engine.reasons import RuleCode
from trading.api.books import BookList, BookMixin, SymbolFilters, stored_json
from trading.api.inputs import IdField, body
from trading.api.messages import MessageSerializer
from trading.api.numbers import PercentField, ShareField, percent_of, share
from trading.api.trades import OrderSerializer, TradeSerializer
from trading.models import Decision
from trading.runtime.on_demand import decide_now
from trading.selectors.decisions import ACTIONS, decisions_of, statistics_of, trace_of
from trading.selectors.symbols import followed_symbol
from web.filters import SinceFilter, UntilFilter
from web.json import ready_json


class ProbabilitiesSerializer(serializers.Serializer[Any]):
    SELL = serializers.FloatField()
    HOLD = serializers.FloatField()
    BUY = serializers.FloatField()


class RuleSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=[code.value for code in RuleCode])
    threshold = serializers.FloatField()
    text = serializers.CharField()


FlipSerializer = inline_serializer(
    "Flip",
    {
        "feature": serializers.ChoiceField(choices=list(FEATURES)),
        "from": serializers.FloatField(),
        "to": serializers.FloatField(),
        "distance": serializers.FloatField(help_text="In usual changes of the feature."),
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
    flip = FlipSerializer


class MetadataSerializer(serializers.Serializer[Any]):
    """How a decision came about. Shares are from 0 to 1; quantity and price are those that were wanted."""

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
        help_text="How much each of the 14 inputs moved the probability of the decision, by name.",
    )
    explanation = ExplanationSerializer(
        required=False, allow_null=True, help_text="One decision only, and not in lists: all that made it what it is."
    )
    indicators = serializers.DictField(child=serializers.FloatField())
    analysis = serializers.DictField(help_text="Trend, strength and signals.")


@extend_schema_field(MetadataSerializer)
class MetadataField(serializers.Field):
    """Written without a serializer: its forty numbers in each of 500 rows would take most of the time of a page."""

    def __init__(self) -> None:
        super().__init__(source="*", read_only=True)

    def to_representation(self, decision: Decision) -> dict[str, Any]:
        explanation, market = decision.explanation, decision.snapshot.payload
        return {
            "model_type": decision.model_type,
            "model_version": decision.model_version,
            "probabilities": explanation.get("probabilities"),
            "risk_score": decision.risk_score,
            "quantity": decision.quantity,
            "price": decision.price,
            "features": explanation.get("features"),
            "contributions": explanation.get("contributions"),
            "explanation": explanation.get("explanation"),
            "indicators": market["indicators"],
            "analysis": market["analysis"],
        }


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    symbol_name = serializers.CharField(source="symbol.name")
    decision = serializers.ChoiceField(choices=ACTIONS, source="action")
    confidence = ShareField(help_text="In percent.")
    metadata = MetadataField()
    status = serializers.ChoiceField(choices=Decision.Status.values)
    reason_code = serializers.CharField(help_text="Why it was carried out, or why it was not; empty while pending.")

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


class WantedDecisionSerializer(serializers.Serializer[Any]):
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
    decision_message = MessageSerializer(source="told", allow_null=True)
    order = OrderSerializer(allow_null=True)
    fills = TradeSerializer(many=True)
    report = MessageSerializer(allow_null=True)


class DecisionFilters(SymbolFilters):
    action = filters.ChoiceFilter(field_name="action", choices=[(name, name) for name in ACTIONS])
    decision = filters.ChoiceFilter(field_name="action", choices=[(name, name) for name in ACTIONS])
    status = filters.ChoiceFilter(field_name="status", choices=Decision.Status.choices)
    from_date = SinceFilter("created_at")
    to_date = UntilFilter("created_at")


class DecisionMixin(BookMixin):
    queryset = Decision.objects.none()  # for the schema
    serializer_class = DecisionSerializer

    def get_queryset(self) -> Any:
        return decisions_of(self.account)


# What a row of the list is written from: columns, and the parts of the metadata that are stored as JSON.
SYMBOL_COLUMNS = ("id", "symbol_id", "symbol__symbol", "symbol__name")
COLUMNS = (
    *SYMBOL_COLUMNS,
    "action",
    "confidence",
    "reasoning",
    "interval",
    "close_time",
    "created_at",
    "status",
    "executed_at",
    "reason_code",
)
METADATA = ("model_type", "model_version", "risk_score", "quantity", "price")
STORED = {
    **{name: KeyTextTransform(name, "explanation") for name in ("probabilities", "features", "contributions")},
    **{name: KeyTextTransform(name, "snapshot__payload") for name in ("indicators", "analysis")},
}


class DecisionList(DecisionMixin, BookList):
    """Decisions, newest first."""

    filterset_class = DecisionFilters
    error_statuses = (404, 409, 503)

    def written(self, rows: Any) -> list[Any]:
        # What a model shows or defers is of no use for plain columns.
        plain = rows.select_related(None).defer(None).annotate(**STORED)
        return [_written(row) for row in plain.values_list(*COLUMNS, *METADATA, *STORED)]

    @extend_schema(
        request=WantedDecisionSerializer, responses={201: DecisionSerializer, 200: DecisionSerializer}, filters=False
    )
    def post(self, request: Request) -> Response:
        """Ask for a decision on the newest snapshot of a followed symbol, as `agents/decision-maker/` does.

        201 when it is made now; a snapshot is decided on once, so asked again the answer is the same one, with 200.
        """
        symbol = followed_symbol(self.account, pk=body(WantedDecisionSerializer, request)["symbol_id"])
        made = decide_now(self.account, symbol)
        return Response(DecisionSerializer(made.decision).data, status=201 if made.is_new else 200)


def _written(row: tuple[Any, ...]) -> msgspec.Raw:
    columns, stored = row[: len(COLUMNS)], row[-len(STORED) :]
    key, symbol_id, symbol, symbol_name, action, confidence, reasoning, *rest = columns
    metadata = dict(zip(METADATA, row[len(COLUMNS) :], strict=False))
    metadata |= {name: stored_json(text) for name, text in zip(STORED, stored, strict=True)}
    return ready_json(
        {
            "id": key,
            "symbol": symbol,
            "symbol_id": symbol_id,
            "symbol_name": symbol_name,
            "decision": action,
            "confidence": stored_json(str(share(confidence))),
            "reasoning": reasoning,
            "metadata": metadata,
            **dict(zip(COLUMNS[-len(rest) :], rest, strict=True)),
        }
    )


class DecisionDetail(DecisionMixin, generics.RetrieveAPIView):
    """One decision."""


class DecisionStatistics(DecisionMixin, generics.GenericAPIView):
    filterset_class = DecisionFilters
    pagination_class = None

    @extend_schema(responses=StatisticsSerializer, filters=True)
    def get(self, request: Request) -> Response:
        """How many decisions there are of each kind, and the ten newest. Takes the filters of the list."""
        found = statistics_of(self.filter_queryset(self.get_queryset()))
        counts = {
            action: {"count": found.by_action[action], "percentage": percent_of(found.by_action[action], found.total)}
            for action in ("BUY", "SELL", "HOLD")
        }
        return Response(
            StatisticsSerializer(
                {
                    "total": found.total,
                    "by_decision": counts,
                    "by_status": {status: found.by_status[status] for status in Decision.Status.values},
                    "by_reason": found.by_reason,
                    "recent": found.recent,
                }
            ).data
        )


class DecisionTrace(DecisionMixin, generics.GenericAPIView):
    def get_queryset(self) -> Any:
        return super().get_queryset().defer(None).select_related("order__trade")

    @extend_schema(responses=TraceSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """The chain snapshot, decision, order, fills, report, with every id and time; null where it ended early."""
        return Response(TraceSerializer(trace_of(self.get_object())).data)
