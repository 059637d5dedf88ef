from django.contrib import admin
from django.http import HttpRequest

from backtests.models import BacktestRun


@admin.register(BacktestRun)
class BacktestRunAdmin(admin.ModelAdmin):
    """What was run: to look at, never to change."""

    list_display = ("id", "user", "symbol", "interval", "model", "start", "end", "status", "progress", "created")
    list_filter = ("status", "model", "interval")
    list_select_related = ("user",)
    search_fields = ("=symbol", "=user__email")
    # The lists of trades and points can be megabytes long: no page shows them.
    exclude = ("trades", "equity")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: BacktestRun | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: BacktestRun | None = None) -> bool:
        return False
