"""Instruments and their candles."""

from typing import Any

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper
from django.utils import timezone

from market.symbols import PATTERN, Kind

# Above every price and volume there is. PostgreSQL sorts NaN and infinity above all numbers, so this bound stops them.
LARGEST_NUMBER = 1e30


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
        ]

    def __str__(self) -> str:
        return self.symbol


class Candle(models.Model):
    """A closed candle as it was first seen. It never changes.

    Floats and not decimals: candles feed indicators, which are float arithmetic, and a double gives back every price
    of up to 15 digits as it was written. Decimals begin at the order.
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
    source = models.CharField(max_length=20)
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
