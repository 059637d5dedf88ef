"""/api/trading/market-data/ and market/latest/: stored candles and snapshots, with their age."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from engine.candles import INTERVALS
from market.models import Candle
from trading.api.base import AccountView, ColumnViewSet, RowFilters, Rows, rows_from_columns
from trading.api.inputs import IdField, SymbolQuery, body, query
from trading.live.refresh import refresh_rows, request_refresh
from trading.selectors import market_data as selectors
from trading.selectors.market_data import closing_time, newest_time
from trading.selectors.symbols import followed_symbols, symbol_or_default
from web.errors import Conflict
from web.fields import FiniteFloatField
from web.filters import MomentField, SinceFilter, UntilFilter

MOST_HOURS = 24 * 366 * 100
CHOICES = [(name, name) for name in INTERVALS]
PRICE_DIGITS, PERCENT_DIGITS = 10, 4  # hides the rounding error of a float difference


class ChangeField(serializers.FloatField):
    """Against the preceding close, which is in the context by the id of the candle; null for the first candle."""

    def __init__(self, in_percent: bool, **options: Any) -> None:
        super().__init__(source="*", allow_null=True, **options)
        self.in_percent = in_percent

    def to_representation(self, candle: Any) -> Any:
        if (before := self.context["closes"][candle.id]) is None:
            return None
        change = candle.close - before
        return round(100 * change / before, PERCENT_DIGITS) if self.in_percent else round(change, PRICE_DIGITS)


class MarketDataSerializer(serializers.ModelSerializer[Candle]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    symbol_name = serializers.CharField(source="symbol.name")
    price = serializers.FloatField(source="close", help_text="The close of the candle.")
    open_price = serializers.FloatField(source="open")
    change = ChangeField(in_percent=False, help_text="Against the preceding candle; null for the first.")
    change_percent = ChangeField(in_percent=True)
    timestamp = serializers.SerializerMethodField()
    age_seconds = serializers.SerializerMethodField()

    class Meta:
        model = Candle
        fields = [
            "id",
            "symbol",
            "symbol_id",
            "symbol_name",
            "interval",
            "price",
            "volume",
            "high",
            "low",
            "open_price",
            "change",
            "change_percent",
            "open_time",
            "timestamp",
            "source",
            "age_seconds",
        ]
        read_only_fields = fields
        columns = ["id", "interval", "open_time", "close"]

    def get_timestamp(self, candle: Candle) -> datetime:
        """The close time, to which `price` belongs."""
        return closing_time(candle)

    def get_age_seconds(self, candle: Candle) -> float:
        """Seconds since the close."""
        return round((timezone.now() - closing_time(candle)).total_seconds(), 3)


def serializer_of(candles: "QuerySet[Candle]", *instances: Any, **options: Any) -> Any:
    """With the preceding closes of these candles, from one query."""
    return MarketDataSerializer(*instances, context={"closes": selectors.previous_closes(candles)}, **options)


class MarketDataFilters(RowFilters):
    interval = filters.ChoiceFilter(choices=CHOICES, label="Default: the timeframe of the settings.")
    from_date = SinceFilter("open_time")
    to_date = UntilFilter("open_time")
    hours = filters.NumberFilter(
        method="last_hours",
        min_value=0,
        max_value=MOST_HOURS,
        label="Hours before the newest of these candles, which in a replay is in the past.",
    )

    def filter_queryset(self, queryset: "QuerySet[Candle]") -> "QuerySet[Candle]":
        if not self.form.cleaned_data.get("interval"):
            queryset = queryset.filter(interval=self.request.parser_context["view"].account.settings.interval)
        # Last: it counts back from the newest candle that the other filters leave.
        hours = self.form.cleaned_data.pop("hours", None)
        queryset = super().filter_queryset(queryset)
        return queryset if hours is None else self.last_hours(queryset, "hours", hours)

    def last_hours(self, rows: "QuerySet[Candle]", name: str, value: Any) -> "QuerySet[Candle]":
        newest = newest_time(rows)
        return rows if newest is None else rows.filter(open_time__gt=newest - timedelta(hours=float(value)))


class LatestQuery(serializers.Serializer[Any]):
    interval = serializers.ChoiceField(choices=CHOICES, required=False)


class LatestSerializer(serializers.Serializer[Any]):
    data = MarketDataSerializer(many=True)  # type: ignore[assignment]
    errors = serializers.ListField(  # type: ignore[assignment]
        child=serializers.CharField(), help_text="A message for each symbol without candles."
    )


class MomentParameter(serializers.CharField):
    """A time in the query, in the format of the date filters."""

    def __init__(self, field: MomentField, **options: Any) -> None:
        super().__init__(required=False, help_text="ISO 8601; a bare date is the whole day.", **options)
        self.field = field

    def to_internal_value(self, data: Any) -> Any:
        return self.field.clean(super().to_internal_value(data))


class CandlesQuery(serializers.Serializer[Any]):
    symbol = serializers.CharField(required=False, help_text="Default: the symbol of the settings.")
    interval = serializers.ChoiceField(choices=CHOICES, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=200)
    from_date = MomentParameter(MomentField(required=False))
    to_date = MomentParameter(MomentField(required=False, of_day=datetime.max.time()))
    indicators = serializers.BooleanField(default=False)


class AnalysisSerializer(serializers.Serializer[Any]):
    trend = serializers.CharField(allow_null=True)
    strength = FiniteFloatField(allow_null=True)
    rsi_state = serializers.CharField(allow_null=True)
    sma_cross = FiniteFloatField(allow_null=True)


class CandleSerializer(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField(help_text="When the candle opened.")
    open = serializers.FloatField()
    high = serializers.FloatField()
    low = serializers.FloatField()
    close = serializers.FloatField()
    volume = serializers.FloatField()
    indicators = serializers.DictField(
        child=serializers.FloatField(allow_null=True), required=False, help_text="Null while warming up."
    )
    analysis = AnalysisSerializer(required=False)


class CandlesSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    interval = serializers.CharField()
    data = CandleSerializer(many=True)  # type: ignore[assignment]


class RefreshBody(serializers.Serializer[Any]):
    symbol_ids = serializers.ListField(
        child=IdField(), required=False, max_length=500, allow_empty=False, help_text="Default: all followed symbols."
    )


class MarketRefreshSerializer(serializers.Serializer[Any]):
    task_id = serializers.UUIDField()
    symbols = serializers.ListField(child=serializers.CharField())


class MarketRefreshTaskSerializer(MarketRefreshSerializer):
    status = serializers.ChoiceField(choices=["pending", "done"])
    requested_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class MarketDataViewSet(ColumnViewSet):
    """Stored candles of the followed symbols, newest first. The date filters apply to the open time."""

    queryset = Candle.objects.none()  # for the schema
    serializer_class = MarketDataSerializer
    filterset_class = MarketDataFilters

    def get_queryset(self) -> "QuerySet[Candle]":
        return selectors.market_rows(self.account)

    def write_rows(self, page: "QuerySet[Any]") -> Rows:
        return rows_from_columns(serializer_of(page), page)

    def retrieve(self, request: Request, pk: int) -> Response:
        candle = self.get_object()
        return Response(serializer_of(Candle.objects.filter(pk=candle.pk), candle).data)

    @extend_schema(parameters=[LatestQuery], responses=LatestSerializer)
    @action(detail=False)
    def latest(self, request: Request) -> Response:
        """The newest stored candle of each followed symbol, with its age in `age_seconds`. No source is called."""
        interval = query(LatestQuery, request).get("interval", self.account.settings.interval)
        rows, errors = selectors.latest_rows(self.account, interval)
        return Response({"data": serializer_of(rows, rows, many=True).data, "errors": errors})

    @extend_schema(parameters=[CandlesQuery], responses=CandlesSerializer)
    @action(detail=False)
    def candles(self, request: Request) -> Response:
        """The last `limit` candles of a followed symbol for a chart, oldest first, optionally with indicators."""
        wanted = query(CandlesQuery, request)
        symbol = symbol_or_default(self.account, wanted.get("symbol"))
        interval = wanted.get("interval", self.account.settings.interval)
        span = (wanted.get("from_date"), wanted.get("to_date"))
        points = selectors.chart(symbol, interval, wanted["limit"], *span, wanted["indicators"])
        return Response({"symbol": symbol.symbol, "interval": interval, "data": points})

    @extend_schema(request=RefreshBody, responses={202: MarketRefreshSerializer})
    @action(detail=False, methods=["post"], throttle_scope="agents", error_statuses=(404, 409))
    def refresh(self, request: Request) -> Response:
        """Ask the Market Monitor to poll markets now, in its own process. Poll the task for the outcome."""
        ids = body(RefreshBody, request).get("symbol_ids")
        symbols = list(followed_symbols(self.account))
        if ids is not None:
            symbols = [symbol for symbol in symbols if symbol.pk in set(ids)]
            if len(symbols) != len(set(ids)):
                raise Http404("not followed")
        if not symbols:
            raise Conflict("No symbol is followed.", "nothing_followed")
        task = request_refresh(self.account, symbols)
        return Response({"task_id": task, "symbols": [symbol.symbol for symbol in symbols]}, status=202)

    @extend_schema(responses=MarketRefreshTaskSerializer)
    @action(detail=False, url_path="refresh/<str:task_id>")
    def refresh_task(self, request: Request, task_id: str) -> Response:
        """Whether the Market Monitor has polled the markets yet."""
        rows = refresh_rows(self.account, task_id)
        times = [row.looked_at for row in rows if row.looked_at]
        done = len(times) == len(rows)
        answer = {
            "task_id": rows[0].task_id,
            "symbols": [row.symbol.symbol for row in rows],
            "status": "done" if done else "pending",
            "requested_at": rows[0].requested_at,
            "finished_at": max(times) if done else None,
        }
        return Response(answer)


class SnapshotSerializer(serializers.Serializer[Any]):
    """The payload of a MARKET_SNAPSHOT message, with the id of the message and its age."""

    timestamp = serializers.DateTimeField()
    ticker = serializers.CharField()
    interval = serializers.CharField()
    ohlcv = serializers.DictField(child=serializers.FloatField())
    indicators = serializers.DictField(child=serializers.FloatField())
    analysis = serializers.DictField(help_text="Trend, strength and signals.")
    message_id = serializers.IntegerField()
    age_seconds = serializers.FloatField()


class SnapshotView(AccountView):
    @extend_schema(parameters=[SymbolQuery], responses=SnapshotSerializer)
    def get(self, request: Request) -> Response:
        """The newest MARKET_SNAPSHOT of a symbol; 404 while there is none."""
        symbol = symbol_or_default(self.account, query(SymbolQuery, request).get("symbol"))
        snapshot = selectors.latest_snapshot(symbol, self.account.settings.interval)
        if snapshot is None:
            raise Http404("no snapshot")
        age = timezone.now() - datetime.fromisoformat(snapshot.payload["timestamp"])
        return Response({**snapshot.payload, "message_id": snapshot.pk, "age_seconds": round(age.total_seconds(), 3)})
