from django.contrib import admin
from django.http import HttpRequest

from market.models import Candle, Symbol


@admin.register(Symbol)
class SymbolAdmin(admin.ModelAdmin):
    list_display = ("symbol", "name", "kind", "price_tick", "lot_step", "minimum_notional", "is_active")
    list_filter = ("kind", "is_active")
    search_fields = ("symbol", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Symbol | None = None) -> tuple[str, ...]:
        # Another name would make the stored candles those of another instrument.
        return ("created_at", "updated_at") if obj is None else ("symbol", "created_at", "updated_at")


@admin.register(Candle)
class CandleAdmin(admin.ModelAdmin):
    """What was seen in the market: to look at, never to change."""

    list_display = ("symbol", "interval", "open_time", "open", "high", "low", "close", "volume", "source", "first_seen")
    list_filter = ("interval", "source")
    list_select_related = ("symbol",)
    search_fields = ("=symbol__symbol",)
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Candle | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Candle | None = None) -> bool:
        return False
