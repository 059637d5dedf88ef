from django import forms
from django.contrib import admin
from django.http import HttpRequest

from market.models import Candle, CandleGap, CandleRevision, OrderBookDepth, SourceState, Symbol
from web.facts import ReadOnlyAdmin


class SymbolForm(forms.ModelForm):
    def clean_extra_intervals(self) -> list[str]:
        # Django cleans an emptied field to None.
        return self.cleaned_data["extra_intervals"] or []


@admin.register(Symbol)
class SymbolAdmin(admin.ModelAdmin):
    form = SymbolForm
    list_display = (
        "symbol", "name", "kind", "source", "price_tick", "lot_step", "minimum_notional", "extra_intervals",
        "depth_levels", "is_active",
    )  # fmt: skip
    list_filter = ("kind", "is_active")
    search_fields = ("symbol", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Symbol | None = None) -> tuple[str, ...]:
        # Another name would assign the stored candles to another instrument.
        stamps = ("terms_at", "created_at", "updated_at")
        return stamps if obj is None else ("symbol", *stamps)


class MarketDataAdmin(ReadOnlyAdmin):
    """Market data, read-only."""

    list_select_related = ("symbol",)
    search_fields = ("=symbol__symbol",)


@admin.register(Candle)
class CandleAdmin(MarketDataAdmin):
    list_display = ("symbol", "interval", "open_time", "open", "high", "low", "close", "volume", "source", "first_seen")
    list_filter = ("interval", "source")


@admin.register(CandleRevision)
class CandleRevisionAdmin(MarketDataAdmin):
    list_display = (
        "symbol", "interval", "open_time", "stored", "reported", "source", "seen_at",
    )  # fmt: skip
    ordering = ("-seen_at",)

    @admin.display(description="stored (open high low close volume)")
    def stored(self, revision: CandleRevision) -> str:
        candle = Candle.objects.filter(
            symbol=revision.symbol_id, interval=revision.interval, open_time=revision.open_time
        ).first()
        return "" if candle is None else _values(candle)

    @admin.display(description="reported later")
    def reported(self, revision: CandleRevision) -> str:
        return _values(revision)


@admin.register(CandleGap)
class CandleGapAdmin(MarketDataAdmin):
    list_display = ("symbol", "interval", "first_missing", "last_missing", "missing", "found_at", "tries", "next_try")
    list_filter = ("interval",)


@admin.register(OrderBookDepth)
class OrderBookDepthAdmin(MarketDataAdmin):
    list_display = ("symbol", "time", "best_bid", "best_ask", "levels", "bid_quantity", "ask_quantity", "source")


def _values(candle: Candle | CandleRevision) -> str:
    return f"{candle.open:g} {candle.high:g} {candle.low:g} {candle.close:g} {candle.volume:g}"


@admin.register(SourceState)
class SourceStateAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "failures", "last_success_at", "last_failure_at", "retry_at", "last_error")
    list_filter = ("state",)
    ordering = ("name",)
