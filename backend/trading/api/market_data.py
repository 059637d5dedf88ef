"""/api/trading/market-data/ and market/latest/: stored candles and snapshots, with their age."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from engine.candles import INTERVALS
from market.models import Candle
from trading.api.books import BookList, BookMixin, SymbolFilters
from trading.api.inputs import IdField, SymbolQuery, body, query
from trading.live.refresh import refresh_rows, request_refresh
from trading.selectors import market_data as selectors
from trading.selectors.market_data import closing_time, newest_time
from trading.selectors.symbols import followed_symbols, meant_symbol
from web.errors import Conflict
from web.fields import FiniteFloatField
from web.filters import MomentField, SinceFilter, UntilFilter

MOST_HOURS = 24 * 366 * 100
CHOICES = [(name, name) for name in INTERVALS]
PRICE_DIGITS, PERCENT_DIGITS = 10, 4  # hides what binary fractions add to a difference


class MarketDataSerializer(serializers.ModelSerializer[Candle]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    symbol_name = serializers.CharField(source="symbol.name")
    price = serializers.FloatField(source="close", help_text="The close of the candle.")
    open_price = serializers.FloatField(source="open")
    change = serializers.FloatField(allow_null=True, help_text="Against the candle before; null for the first of all.")
    change_percent = serializers.FloatField(allow_null=True)
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

    def get_timestamp(self, candle: Candle) -> datetime:
        """When the candle closed: the time of `price`."""
        return closing_time(candle)

    def get_age_seconds(self, candle: Candle) -> float:
        """How long ago that was."""
        return age_seconds(closing_time(candle), timezone.now())


def with_changes(candles: Iterable[Candle]) -> list[Candle]:
    """The candles with `change` and `change_percent`, at the cost of one query for all."""
    rows: list[Any] = list(candles)
    closes = selectors.previous_closes(row.pk for row in rows)
    for row in rows:
        row.change, row.change_percent = changes(row.close, closes[row.pk])
    return rows


def changes(close: float, before: float | None) -> tuple[float | None, float | None]:
    """In money and in percent."""
    if before is None:
        return None, None
    return round(close - before, PRICE_DIGITS), round(100 * (close - before) / before, PERCENT_DIGITS)


def age_seconds(closed: datetime, now: datetime) -> float:
    return round((now - closed).total_seconds(), 3)


class MarketDataFilters(SymbolFilters):
    interval = filters.ChoiceFilter(choices=CHOICES, label="Default: the timeframe of the settings.")
    from_date = SinceFilter("open_time")
    to_date = UntilFilter("open_time")
    hours = filters.NumberFilter(
        method="last_hours",
        min_value=0,
        max_value=MOST_HOURS,
        label="The hours before the newest of these candles, so that a replay can be asked for as well.",
    )

    def filter_queryset(self, queryset: "QuerySet[Candle]") -> "QuerySet[Candle]":
        if not self.form.cleaned_data.get("interval"):
            queryset = queryset.filter(interval=self.request.parser_context["view"].account.settings.interval)
        # Last, because it counts back from the newest of what the others leave.
        hours = self.form.cleaned_data.pop("hours", None)
        queryset = super().filter_queryset(queryset)
        return queryset if hours is None else self.last_hours(queryset, "hours", hours)

    def last_hours(self, rows: "QuerySet[Candle]", name: str, value: Any) -> "QuerySet[Candle]":
        newest = newest_time(rows)
        return rows if newest is None else rows.filter(open_time__gt=newest - timedelta(hours=float(value)))


class MarketDataMixin(BookMixin):
    queryset = Candle.objects.none()  # for the schema
    serializer_class = MarketDataSerializer

    def get_queryset(self) -> Any:
        return selectors.market_rows(self.account)


SYMBOL_COLUMNS = ("id", "symbol_id", "symbol__symbol", "symbol__name")
COLUMNS = (*SYMBOL_COLUMNS, "interval", "open_time", "open", "high", "low", "close", "volume", "source")


class MarketDataList(MarketDataMixin, BookList):
    """Stored candles of the followed symbols, newest first. Dates are about the open of a candle."""

    filterset_class = MarketDataFilters

    def written(self, rows: Any) -> list[dict[str, Any]]:
        plain = list(rows.select_related(None).values_list(*COLUMNS, named=True))
        closes, now = selectors.previous_closes(row.id for row in plain), timezone.now()
        return [_written(row, closes[row.id], now) for row in plain]


def _written(row: Any, before: float | None, now: datetime) -> dict[str, Any]:
    closed = closing_time(row)
    change, change_percent = changes(row.close, before)
    return {
        "id": row.id,
        "symbol": row.symbol__symbol,
        "symbol_id": row.symbol_id,
        "symbol_name": row.symbol__name,
        "interval": row.interval,
        "price": row.close,
        "volume": row.volume,
        "high": row.high,
        "low": row.low,
        "open_price": row.open,
        "change": change,
        "change_percent": change_percent,
        "open_time": row.open_time,
        "timestamp": closed,
        "source": row.source,
        "age_seconds": age_seconds(closed, now),
    }


class MarketDataDetail(MarketDataMixin, generics.RetrieveAPIView):
    """One stored candle of a followed symbol."""

    def get_object(self) -> Candle:
        return with_changes([super().get_object()])[0]


class LatestQuery(serializers.Serializer[Any]):
    interval = serializers.ChoiceField(choices=CHOICES, required=False)


class LatestSerializer(serializers.Serializer[Any]):
    data = MarketDataSerializer(many=True)
    errors = serializers.ListField(child=serializers.CharField(), help_text="A line for each symbol without candles.")


class LatestView(BookMixin, APIView):
    @extend_schema(parameters=[LatestQuery], responses=LatestSerializer)
    def get(self, request: Request) -> Response:
        """The newest stored candle of each followed symbol. Nothing is fetched: `age_seconds` says how old it is."""
        interval = query(LatestQuery, request).get("interval", self.account.settings.interval)
        rows, errors = selectors.latest_rows(self.account, interval)
        return Response({"data": MarketDataSerializer(with_changes(rows), many=True).data, "errors": errors})


class MomentParameter(serializers.CharField):
    """A time of the query, read like the dates of the lists."""

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
    data = CandleSerializer(many=True)


class CandlesView(BookMixin, APIView):
    @extend_schema(parameters=[CandlesQuery], responses=CandlesSerializer)
    def get(self, request: Request) -> Response:
        """The last `limit` candles of a followed symbol for a chart, oldest first; with indicators if asked for."""
        wanted = query(CandlesQuery, request)
        symbol = meant_symbol(self.account, wanted.get("symbol"))
        interval = wanted.get("interval", self.account.settings.interval)
        span = (wanted.get("from_date"), wanted.get("to_date"))
        points = selectors.chart(symbol, interval, wanted["limit"], *span, wanted["indicators"])
        return Response({"symbol": symbol.symbol, "interval": interval, "data": points})


class RefreshBody(serializers.Serializer[Any]):
    symbol_ids = serializers.ListField(
        child=IdField(), required=False, max_length=500, allow_empty=False, help_text="Default: all that is followed."
    )


class RefreshSerializer(serializers.Serializer[Any]):
    task_id = serializers.UUIDField()
    symbols = serializers.ListField(child=serializers.CharField())


class RefreshTaskSerializer(RefreshSerializer):
    status = serializers.ChoiceField(choices=["pending", "done"])
    requested_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class RefreshView(BookMixin, APIView):
    throttle_scope = "agents"
    error_statuses = (404, 409)

    @extend_schema(request=RefreshBody, responses={202: RefreshSerializer})
    def post(self, request: Request) -> Response:
        """Ask the Market Monitor to look at markets now. It does so in its own process: poll the task, or read on."""
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


class RefreshTaskView(BookMixin, APIView):
    @extend_schema(responses=RefreshTaskSerializer)
    def get(self, request: Request, task_id: str) -> Response:
        """Whether the Market Monitor has looked yet."""
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


class SnapshotView(BookMixin, APIView):
    @extend_schema(parameters=[SymbolQuery], responses=SnapshotSerializer)
    def get(self, request: Request) -> Response:
        """The newest snapshot of a symbol, as the Decision Maker saw it; 404 while there is none."""
        symbol = meant_symbol(self.account, query(SymbolQuery, request).get("symbol"))
        snapshot = selectors.latest_snapshot(symbol, self.account.settings.interval)
        if snapshot is None:
            raise Http404("no snapshot")
        age = timezone.now() - datetime.fromisoformat(snapshot.payload["timestamp"])
        return Response({**snapshot.payload, "message_id": snapshot.pk, "age_seconds": round(age.total_seconds(), 3)})
