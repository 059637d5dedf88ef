"""Instruments and their candles."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper
from django.utils import timezone

from market.sources.base import SOURCE_NAME, SOURCE_NAMES
from market.symbols import PATTERN, Kind

# Above every real price and volume. PostgreSQL sorts NaN and infinity above all numbers, so this bound stops them.
LARGEST_NUMBER = 1e30
LONGEST_SOURCE = 40
MOST_LEVELS = 200


def check_intervals(names: Any) -> None:
    from engine.candles import INTERVALS  # pandas, which the start of the web server need not import

    if not isinstance(names, list) or not all(isinstance(name, str) and name in INTERVALS for name in names):
        raise ValidationError(f"must be a list of intervals: {', '.join(INTERVALS)}")


def _step_field() -> Any:
    return models.DecimalField(max_digits=22, decimal_places=10, null=True, blank=True)


class Symbol(models.Model):
    """An instrument. Its steps are what its venue stated; null means not stated, and they are inferred."""

    symbol = models.CharField(max_length=20, unique=True, validators=[RegexValidator(PATTERN.pattern)])
    name = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=6, choices=[(kind.value, kind.value) for kind in Kind])
    price_tick = _step_field()
    lot_step = _step_field()
    minimum_notional = _step_field()
    terms_at = models.DateTimeField(null=True, blank=True, help_text="when the venue last stated the steps")
    # Empty: the usual order of market.sources.choice.
    source = models.CharField(
        max_length=LONGEST_SOURCE, blank=True, validators=[RegexValidator(SOURCE_NAME.pattern)], help_text=SOURCE_NAMES
    )
    # Stored beside the traded interval: candles of more intervals, and this many levels of the order book.
    extra_intervals = models.JSONField(
        default=list, blank=True, validators=[check_intervals], help_text='["15m", "4h"]'
    )
    depth_levels = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(MOST_LEVELS)])
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["symbol"]
        constraints = [
            models.CheckConstraint(
                condition=Q(symbol=Upper("symbol"), symbol__gt=""), name="market_symbol_is_in_upper_case"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in Kind]), name="market_symbol_kind_is_known"
            ),
            models.CheckConstraint(
                condition=Q(price_tick__gt=0) & Q(lot_step__gt=0) & Q(minimum_notional__gte=0),
                name="market_symbol_steps_are_positive",
            ),
            models.CheckConstraint(
                condition=Q(depth_levels__lte=MOST_LEVELS), name="market_symbol_depth_is_within_bounds"
            ),
        ]

    def __str__(self) -> str:
        return self.symbol


class Candle(models.Model):
    """A closed candle as it was first seen. It never changes.

    Floats and not decimals: candles feed indicators, which are float arithmetic, and a double preserves every price
    of up to 15 digits. Decimals begin at the order.
    """

    # The unique constraint's index begins with the symbol and serves the foreign key too.
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="candles", db_index=False)
    interval = models.CharField(max_length=3)
    open_time = models.DateTimeField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField()
    source = models.CharField(max_length=LONGEST_SOURCE)
    first_seen = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # The newest candles of several symbols (selectors of the API).
            models.Index(fields=["interval", "-open_time", "symbol"], name="market_candle_newest"),
        ]
        constraints = [
            # Its index, read backwards, also serves "the latest N of a symbol and interval" (selectors.latest_candles).
            models.UniqueConstraint(fields=["symbol", "interval", "open_time"], name="market_candle_is_unique"),
            models.CheckConstraint(
                condition=Q(low__gt=0, low__lte=F("high"), high__lt=LARGEST_NUMBER), name="market_candle_range_is_sound"
            ),
            models.CheckConstraint(
                condition=Q(open__gte=F("low"), open__lte=F("high"), close__gte=F("low"), close__lte=F("high")),
                name="market_candle_body_is_in_range",
            ),
            models.CheckConstraint(
                condition=Q(volume__gte=0, volume__lt=LARGEST_NUMBER), name="market_candle_volume_is_sound"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.open_time:%Y-%m-%d %H:%M}"


class CandleRevision(models.Model):
    """Another version of a stored candle that its source reported later: for information, never traded on.

    A row for each version that differs from the stored candle and from the other rows, with the time when it was first
    seen. The stored candle stays as it was.
    """

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="revisions", db_index=False)
    interval = models.CharField(max_length=3)
    open_time = models.DateTimeField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField()
    source = models.CharField(max_length=LONGEST_SOURCE)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "interval", "open_time", "open", "high", "low", "close", "volume", "source"],
                name="market_revision_is_stored_once",
            ),
        ]
        indexes = [models.Index(fields=["-seen_at"], name="market_revision_newest")]  # The admin's list.

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.open_time:%Y-%m-%d %H:%M}, as {self.source} reported it later"


class CandleGap(models.Model):
    """Expected candles that are not stored. Deleted when filled, kept when the source does not have them."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="gaps", db_index=False)
    interval = models.CharField(max_length=3)
    first_missing = models.DateTimeField()
    last_missing = models.DateTimeField()
    missing = models.PositiveIntegerField()
    found_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveIntegerField(default=0)
    next_try = models.DateTimeField(null=True, blank=True, help_text="empty: it is not asked for any more")

    class Meta:
        ordering = ["symbol", "interval", "first_missing"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "interval", "first_missing"], name="market_gap_is_stored_once"),
            models.CheckConstraint(
                condition=Q(missing__gt=0, last_missing__gte=F("first_missing")), name="market_gap_is_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval}: {self.missing} missing from {self.first_missing:%Y-%m-%d %H:%M} on"


class OrderBookDepth(models.Model):
    """The best prices of an order book, and the quantities of its first levels, at one time."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="depths", db_index=False)
    time = models.DateTimeField()
    best_bid = models.FloatField()
    best_ask = models.FloatField()
    levels = models.PositiveSmallIntegerField()
    bid_quantity = models.FloatField(help_text="of the first levels together")
    ask_quantity = models.FloatField()
    source = models.CharField(max_length=LONGEST_SOURCE)

    class Meta:
        constraints = [
            # Its index, read backwards, serves "the newest before a moment" (selectors.newest_depth).
            models.UniqueConstraint(fields=["symbol", "time"], name="market_depth_is_unique"),
            models.CheckConstraint(
                condition=Q(best_bid__gt=0, best_ask__gt=F("best_bid"), best_ask__lt=LARGEST_NUMBER),
                name="market_depth_prices_are_sound",
            ),
            models.CheckConstraint(
                condition=Q(bid_quantity__gt=0, bid_quantity__lt=LARGEST_NUMBER, levels__gt=0)
                & Q(ask_quantity__gt=0, ask_quantity__lt=LARGEST_NUMBER),
                name="market_depth_quantities_are_sound",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.time:%Y-%m-%d %H:%M:%S}: {self.best_bid} / {self.best_ask}"


class SourceState(models.Model):
    """The state of a source of candles, as seen by the processes that ask it (market.sources.health)."""

    class Condition(models.TextChoices):
        WORKING = "working"
        PAUSED = "paused"  # It failed too often and is not asked until retry_at; then one request decides.

    name = models.CharField(max_length=LONGEST_SOURCE, unique=True)
    state = models.CharField(max_length=7, choices=Condition.choices, default=Condition.WORKING)
    failures = models.PositiveIntegerField(default=0, help_text="in a row")
    last_error = models.TextField(blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["working", "paused"]), name="market_source_state"),
            models.CheckConstraint(
                condition=~Q(state="paused") | Q(retry_at__isnull=False), name="market_source_pause_has_an_end"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"
