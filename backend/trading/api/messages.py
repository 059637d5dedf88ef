"""/api/trading/messages/: what the agents told each other. Read-only."""

from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils.functional import cached_property
from django_filters import rest_framework as filters
from rest_framework import generics, serializers

from trading.api.books import BookList, BookMixin, SymbolFilters, stored_json
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

    def to_representation(self, value: str) -> str | None:
        return NAMES.get(value)


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
        return status_of(message)


def status_of(message: Any) -> str:
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

    @cached_property
    def own(self) -> OwnMessages:
        return own_messages(self.account)

    def get_queryset(self) -> Any:
        return self.own.newest_first()


COLUMNS = ("id", "created_at", "sender", "recipient", "type", "caused_by_id", "correlation_id", "processed_at")


class MessageList(MessageMixin, BookList):
    """The messages of this user's account, and the snapshots of the symbols that it follows; newest first."""

    filterset_class = MessageFilters

    def counted(self, rows: Any) -> int:
        return sum(self.filter_queryset(part).count() for part in self.own.parts())

    def written(self, rows: Any) -> list[dict[str, Any]]:
        plain = rows.annotate(said=Cast("payload", TextField()))
        return [_written(row) for row in plain.values_list(*COLUMNS, "parked_at", "said", named=True)]


def _written(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "timestamp": row.created_at,
        "from": NAMES.get(row.sender),
        "to": NAMES.get(row.recipient),
        "type": row.type,
        "payload": stored_json(row.said),
        "caused_by": row.caused_by_id,
        "correlation_id": row.correlation_id,
        "processed_at": row.processed_at,
        "status": status_of(row),
    }


class MessageDetail(MessageMixin, generics.RetrieveAPIView):
    """One message."""
