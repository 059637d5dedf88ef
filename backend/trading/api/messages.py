"""/api/trading/messages/: what the agents told each other. Read-only."""

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import generics, serializers

from trading.api.books import BookMixin, SymbolFilters
from trading.models import AgentType, Message
from trading.selectors.messages import own_messages
from web.filters import SinceFilter, UntilFilter

NAMES = {AgentType.MARKET_MONITOR: "market", AgentType.DECISION_MAKER: "decision", AgentType.EXECUTION: "execution"}
CHOICES = list(NAMES.values())


class AgentNameField(serializers.ChoiceField):
    def __init__(self, **options: Any) -> None:
        super().__init__(choices=CHOICES, read_only=True, **options)

    def to_representation(self, value: str) -> str | None:
        return NAMES[AgentType(value)] if value else None


class MessageSerializer(serializers.ModelSerializer[Message]):
    timestamp = serializers.DateTimeField(source="created_at")
    type = serializers.ChoiceField(choices=Message.Type.values)
    payload = serializers.DictField()
    to = AgentNameField(source="recipient", allow_null=True, help_text="Null for a report, which is for people.")
    caused_by = serializers.IntegerField(source="caused_by_id", allow_null=True)
    status = serializers.SerializerMethodField()

    class Meta:
        model = Message
        fields = ["id", "timestamp", "to", "type", "payload", "caused_by", "correlation_id", "processed_at", "status"]
        read_only_fields = fields

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python, so it cannot be declared in the class.
        return {**super().get_fields(), "from": AgentNameField(source="sender")}

    def get_status(self, message: Message) -> str:
        """pending, processed, or parked after it failed too often."""
        if message.processed_at:
            return "processed"
        return "parked" if message.parked_at else "pending"


class MessageFilters(SymbolFilters):
    type = filters.ChoiceFilter(choices=Message.Type.choices)
    from_date = SinceFilter("created_at")
    to_date = UntilFilter("created_at")


class MessageMixin(BookMixin):
    queryset = Message.objects.none()  # for the schema
    serializer_class = MessageSerializer

    def get_queryset(self) -> Any:
        return own_messages(self.account)


class MessageList(MessageMixin, generics.ListAPIView):
    """The messages of this user's account, and the snapshots of the symbols that it follows; newest first."""

    filterset_class = MessageFilters


class MessageDetail(MessageMixin, generics.RetrieveAPIView):
    """One message."""
