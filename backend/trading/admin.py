"""Admin pages. Records of what happened are read-only; the settings of an account can be changed."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from accounts.models import user_by_email
from market.models import Symbol
from trading.messages.adapter import Requeued, requeue
from trading.models import (
    Account,
    AgentLog,
    AgentState,
    CashEntry,
    Decision,
    EquityPoint,
    Follow,
    IdempotentAnswer,
    Message,
    Order,
    Position,
    Trade,
    TradingSettings,
)
from trading.selectors.traces import Trace, trace_of_decision, trace_of_message, trace_of_order
from web.facts import ReadOnlyAdmin, address, link, link_to, list_link, pretty

LONGEST_ID = 18
LINKS = ("snapshot", "decision", "decision_message", "order", "trade", "report")


class BookAdmin(ReadOnlyAdmin):
    """Rows of an account or a user. The search term is resolved to an id first, so that the list uses an index."""

    list_select_related = ["account__user", "symbol"]
    search_fields = ("pk",)
    search_help_text = "An id, the e-mail of a user or a symbol"

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        return queryset.filter(self._matching(term)) if term else queryset, False

    def _matching(self, term: str) -> Q:
        columns = {field.name for field in self.model._meta.get_fields()}
        if term.isascii() and term.isdecimal() and len(term) <= LONGEST_ID:
            return Q(pk=int(term))
        if "correlation_id" in columns and (correlation_id := _uuid(term)):
            return Q(correlation_id=correlation_id)
        if user := user_by_email(term):
            return (
                Q(user=user) if "user" in columns else Q(account__in=list(user.accounts.values_list("pk", flat=True)))
            )
        symbol = Symbol.objects.filter(symbol=term.upper()).first() if "symbol" in columns else None
        return Q(symbol=symbol) if symbol else Q(pk__in=[])


def _uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


def trace_links(trace: Trace) -> str:
    """A link to the page of each row of a trace, in order."""
    rows = [(name, getattr(trace, name)) for name in LINKS]
    found = [(address(row), name.removeprefix("decision_"), row) for name, row in rows if row is not None]
    return format_html_join(" → ", '<a href="{}">{}: {}</a>', found)


@admin.register(Account)
class AccountAdmin(BookAdmin):
    list_display = ("id", "user", "mode", "cash", "equity", "realised", "commissions", "day", "created_at")
    list_filter = ("mode",)
    list_select_related = ["user"]
    search_help_text = "An id or the e-mail of a user"
    date_hierarchy = "created_at"
    readonly_fields = ("books",)

    @admin.display(description="books")
    def books(self, account: Account) -> str:
        models: tuple[type[Model], ...] = (Decision, Order, Trade, Position, CashEntry, EquityPoint, Message, Follow)
        lists = [(list_link(model, account__id__exact=account.pk),) for model in models]
        return format_html_join(", ", "{}", lists)


class SettingsForm(forms.ModelForm):
    """Validated by the serializer of the API."""

    def clean(self) -> dict[str, Any]:
        # Imported here: they load pandas, which every start of the site would pay for.
        from trading.api.settings import SettingsSerializer
        from trading.selectors.settings import COLUMNS

        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        names = {column: name for name, column in {**COLUMNS, "status": "status"}.items()}
        changed = {names[column]: _exact(cleaned[column]) for column in self.changed_data if column in cleaned}
        checked = SettingsSerializer(data=changed, partial=True)
        if not checked.is_valid():
            for name, problems in checked.errors.items():
                self.add_error(COLUMNS.get(name, name), [str(problem) for problem in problems])
        self.changes = {} if self.errors else checked.validated_data
        return cleaned


def _exact(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


@admin.register(TradingSettings)
class TradingSettingsAdmin(BookAdmin):
    """Saves only the changed fields, with the service that the API calls."""

    form = SettingsForm
    list_display = ("account", "status", "interval", "model_type", "confidence_threshold", "risk_level", "kill_switch")
    list_filter = ("status", "risk_level", "kill_switch")
    list_select_related = ["account__user"]
    readonly_fields = ("account", "symbol", "updated_at")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.has_perm("trading.change_tradingsettings"))

    def save_model(self, request: HttpRequest, obj: TradingSettings, form: Any, change: bool) -> None:
        from trading.books.preferences import change_settings

        change_settings(obj.account, form.changes)


class StateFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"
    STATES: dict[str, dict[str, bool]] = {
        "waiting": {"processed_at__isnull": True, "parked_at__isnull": True},
        "parked": {"parked_at__isnull": False},
        "processed": {"processed_at__isnull": False},
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in self.STATES]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Message]") -> "QuerySet[Message]":
        return queryset.filter(**self.STATES.get(self.value() or "", {}))


@admin.register(Message)
class MessageAdmin(BookAdmin):
    list_display = ("id", "type", "symbol", "interval", "account", "state", "attempts", "created_at", "error")
    list_filter = (StateFilter, "type", "sender", "created_at")
    search_help_text = "An id, the e-mail of a user, a symbol or a correlation id"
    exclude = ("payload",)
    readonly_fields = ("payload_json", "trace", "related")
    actions = ("requeue_parked",)

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("trading.change_message"))

    @admin.action(description="Try parked messages again", permissions=["requeue"])
    def requeue_parked(self, request: HttpRequest, queryset: "QuerySet[Message]") -> None:
        result = requeue(queryset.values_list("pk", flat=True))
        for level, text in _messages_of(result):
            self.message_user(request, text, level)

    @admin.display(description="state")
    def state(self, message: Message) -> str:
        return "parked" if message.parked_at else "waiting" if message.processed_at is None else "processed"

    @admin.display(description="payload")
    def payload_json(self, message: Message) -> str:
        return pretty(message.payload)

    @admin.display(description="trace")
    def trace(self, message: Message) -> str:
        return trace_links(trace_of_message(message))

    @admin.display(description="related")
    def related(self, message: Message) -> str:
        decisions = list_link(Decision, snapshot__id__exact=message.pk)
        effects = list_link(Message, caused_by__id__exact=message.pk)
        cycle = list_link(Message, correlation_id__exact=message.correlation_id)
        return format_html("{} on it; {} caused by it; {} of its cycle", decisions, effects, cycle)


def _messages_of(result: Requeued) -> list[tuple[int, str]]:
    lines = [
        (messages.SUCCESS, result.waiting, "{} waiting again."),
        (messages.ERROR, result.given_up, "{} left parked: a TRADE_DECISION has its outcome, FAILED, and its report."),
        (messages.ERROR, result.overtaken, "{} left parked: later candles of the market have been decided already."),
        (messages.WARNING, result.not_parked, "{} unchanged: not parked."),
    ]
    return [(level, text.format(count)) for level, count, text in lines if count]


@admin.register(Decision)
class DecisionAdmin(BookAdmin):
    list_display = (
        "id",
        "account",
        "symbol",
        "action",
        "confidence",
        "status",
        "reason_code",
        "snapshot_link",
        "created_at",
    )
    list_filter = ("status", "action", "created_at")
    exclude = ("explanation",)
    readonly_fields = ("trace", "explained")

    @admin.display(description="snapshot")
    def snapshot_link(self, decision: Decision) -> str:
        return link_to(Message, decision.snapshot_id)

    @admin.display(description="trace")
    def trace(self, decision: Decision) -> str:
        return trace_links(trace_of_decision(decision))

    @admin.display(description="explanation")
    def explained(self, decision: Decision) -> str:
        return pretty(decision.explanation)


@admin.register(Order)
class OrderAdmin(BookAdmin):
    list_display = (
        "id",
        "account",
        "symbol",
        "action",
        "quantity",
        "requested_price",
        "reason",
        "filled",
        "created_at",
    )
    list_filter = ("action", "created_at")
    list_select_related = ["account__user", "symbol", "trade__symbol"]
    readonly_fields = ("trace",)

    @admin.display(description="trade")
    def filled(self, order: Order) -> str | None:
        return link(getattr(order, "trade", None))

    @admin.display(description="trace")
    def trace(self, order: Order) -> str:
        return trace_links(trace_of_order(order))


@admin.register(Trade)
class TradeAdmin(BookAdmin):
    list_display = (
        "id",
        "account",
        "symbol",
        "action",
        "quantity",
        "price",
        "commission",
        "pnl",
        "placed",
        "timestamp",
    )
    list_filter = ("action", "created_at")
    list_select_related = ["account__user", "symbol", "order__symbol"]
    readonly_fields = ("trace", "journal")

    @admin.display(description="order")
    def placed(self, trade: Trade) -> str | None:
        return link(trade.order)

    @admin.display(description="trace")
    def trace(self, trade: Trade) -> str:
        return trace_links(trace_of_order(trade.order))

    @admin.display(description="cash entry")
    def journal(self, trade: Trade) -> str | None:
        return link(getattr(trade, "cash_entry", None))


@admin.register(Position)
class PositionAdmin(BookAdmin):
    list_display = ("id", "account", "symbol", "quantity", "entry_price", "mark", "pnl", "opened_at", "closed_at")
    list_filter = (("closed_at", admin.EmptyFieldListFilter),)
    readonly_fields = ("trades",)

    @admin.display(description="trades")
    def trades(self, position: Position) -> str:
        return list_link(Trade, account__id__exact=position.account_id, symbol__id__exact=position.symbol_id)


@admin.register(CashEntry)
class CashEntryAdmin(BookAdmin):
    list_display = ("id", "account", "amount", "balance", "trade", "created_at")
    list_filter = ("created_at",)
    list_select_related = ["account__user", "trade__symbol"]
    search_help_text = "An id or the e-mail of a user"


@admin.register(EquityPoint)
class EquityPointAdmin(BookAdmin):
    list_display = ("id", "account", "time", "balance", "equity")
    list_select_related = ["account__user"]
    search_help_text = "An id or the e-mail of a user"


@admin.register(IdempotentAnswer)
class IdempotentAnswerAdmin(BookAdmin):
    list_display = ("id", "account", "key", "status", "created_at")
    list_filter = ("created_at",)
    list_select_related = ["account__user"]
    search_help_text = "An id or the e-mail of a user"


@admin.register(Follow)
class FollowAdmin(BookAdmin):
    list_display = ("id", "account", "symbol", "is_active", "created_at")
    list_filter = ("is_active",)


@admin.register(AgentState)
class AgentStateAdmin(BookAdmin):
    list_display = ("id", "user", "agent_type", "status", "last_activity", "error_message")
    list_filter = ("status", "agent_type")
    list_select_related = ["user"]
    search_help_text = "An id or the e-mail of a user"


@admin.register(AgentLog)
class AgentLogAdmin(BookAdmin):
    list_display = ("id", "timestamp", "user", "agent_type", "level", "message", "cycle")
    list_filter = ("level", "agent_type", "timestamp")
    list_select_related = ["user"]
    search_help_text = "An id or the e-mail of a user"
    readonly_fields = ("cycle",)

    @admin.display(description="messages")
    def cycle(self, line: AgentLog) -> str | None:
        return list_link(Message, correlation_id__exact=line.correlation_id) if line.correlation_id else None
