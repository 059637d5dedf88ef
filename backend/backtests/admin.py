from django.contrib import admin

from backtests.models import BacktestRun
from web.facts import ReadOnlyAdmin


@admin.register(BacktestRun)
class BacktestRunAdmin(ReadOnlyAdmin):
    """Runs, read-only."""

    list_display = ("id", "user", "symbol", "interval", "model", "start", "end", "status", "progress", "created")
    list_filter = ("status", "model", "interval")
    list_select_related = ("user",)
    search_fields = ("=symbol", "=user__email")
    # The lists of trades and points can be megabytes long: no page shows them.
    exclude = ("trades", "equity")
