"""/api/trading/messages/: the messages between the agents. Read-only."""

from typing import Any

from django.db.models import QuerySet
from django.utils.functional import cached_property
from django_filters import rest_framework as filters
from rest_framework import serializers

from trading.api.base import ColumnViewSet, RowFilters
from trading.models import AgentType, Message
from trading.selectors.messages import OwnMessages, own_messages
from web.filters import SinceFilter, UntilFilter

NAMES: dict[str, str] = {
    AgentType.MARKET_MONITOR: "market",
    AgentType.DECISION_MAKER: "decision",
    AgentType.EXECUTION: "execution",
}
CHOICES = list(NAMES.values())


class AgentNameField(serializers.ChoiceField):
    def __init__(self, **options: Any) -> None:
        super().__init__(choices=CHOICES, read_only=True, **options)

    def to_representation(self, value: str) -> Any:
        return NAMES.get(value)


class MessageSerializer(serializers.ModelSerializer[Message]):
    timestamp = serializers.DateTimeField(source="created_at")
    type = serializers.ChoiceField(choices=Message.Type.values)
    payload = serializers.DictField()
    to = AgentNameField(source="recipient", allow_null=True, help_text="Null for a report, which has no recipient.")
    caused_by = serializers.IntegerField(source="caused_by_id", allow_null=True)
    status = serializers.SerializerMethodField()

    class Meta:
        model = Message
        fields = ["id", "timestamp", "to", "type", "payload", "caused_by", "correlation_id", "processed_at", "status"]
        read_only_fields = fields
        columns = ["processed_at", "parked_at"]

    def get_fields(self) -> dict[str, Any]:
        # `from` is a keyword: it cannot be an attribute of the class.
        return {**super().get_fields(), "from": AgentNameField(source="sender")}

    def get_status(self, message: Message) -> str:
        """pending, processed, or parked after too many failures."""
        if message.processed_at:
            return "processed"
        return "parked" if message.parked_at else "pending"


class MessageFilters(RowFilters):
    type = filters.ChoiceFilter(choices=Message.Type.choices)
    from_date = SinceFilter("created_at")
    to_date = UntilFilter("created_at")


class MessageViewSet(ColumnViewSet):
    """The account's messages and the snapshots of its followed symbols, newest first."""

    queryset = Message.objects.none()  # for the schema
    serializer_class = MessageSerializer
    filterset_class = MessageFilters

    @cached_property
    def own(self) -> OwnMessages:
        return own_messages(self.account)

    def get_queryset(self) -> "QuerySet[Message]":
        return self.own.newest_first()

    def count(self, rows: Any) -> int:
        return sum(self.filter_queryset(part).count() for part in self.own.parts())
