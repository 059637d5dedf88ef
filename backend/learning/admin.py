from django.contrib import admin

from learning.models import ModelVersion, Promotion, TrainingTask
from web.facts import ReadOnlyAdmin, pretty


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """What models were made of, how good they were, and which of them decide."""

    list_display = (
        "id",
        "symbol",
        "interval",
        "name",
        "status",
        "rows",
        "first_time",
        "last_time",
        "short_hash",
        "created_at",
    )
    list_filter = ("status", "algorithm", "interval")
    list_select_related = ("symbol",)
    search_fields = ("=symbol__symbol", "^content_hash", "name")
    date_hierarchy = "created_at"
    exclude = ("recipe", "scores", "features", "profile", "calibration")
    readonly_fields = ("made_of", "saw", "scored", "calibrated")

    @admin.display(description="hash")
    def short_hash(self, version: ModelVersion) -> str:
        return version.content_hash[:8]

    @admin.display(description="recipe")
    def made_of(self, version: ModelVersion) -> str:
        return pretty(version.recipe)

    @admin.display(description="features")
    def saw(self, version: ModelVersion) -> str:
        return pretty(version.features)

    @admin.display(description="scores")
    def scored(self, version: ModelVersion) -> str:
        return pretty(version.scores)

    @admin.display(description="calibration")
    def calibrated(self, version: ModelVersion) -> str:
        return pretty(version.calibration)


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    """Every change of champion, and why."""

    list_display = ("id", "created_at", "kind", "symbol", "interval", "name", "version", "replaced", "reason")
    list_filter = ("kind", "interval")
    list_select_related = ("symbol", "version__symbol", "replaced__symbol")
    search_fields = ("=symbol__symbol", "name", "reason")
    date_hierarchy = "created_at"


@admin.register(TrainingTask)
class TrainingTaskAdmin(ReadOnlyAdmin):
    """What users asked for, and what came of it."""

    list_display = ("id", "requested_at", "user", "symbol", "interval", "name", "started_at", "finished_at", "error")
    list_select_related = ("user", "symbol")
    search_fields = ("=symbol__symbol", "name", "=user__email")
    date_hierarchy = "requested_at"
