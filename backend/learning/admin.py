from django.contrib import admin

from learning.models import ModelVersion
from web.facts import ReadOnlyAdmin, pretty


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """What models were made of, and how good they were."""

    list_display = (
        "id",
        "symbol",
        "interval",
        "algorithm",
        "rows",
        "first_time",
        "last_time",
        "short_hash",
        "created_at",
    )
    list_filter = ("algorithm", "interval")
    list_select_related = ("symbol",)
    search_fields = ("=symbol__symbol", "^content_hash")
    date_hierarchy = "created_at"
    exclude = ("recipe", "scores")
    readonly_fields = ("made_of", "scored")

    @admin.display(description="hash")
    def short_hash(self, version: ModelVersion) -> str:
        return version.content_hash[:8]

    @admin.display(description="recipe")
    def made_of(self, version: ModelVersion) -> str:
        return pretty(version.recipe)

    @admin.display(description="scores")
    def scored(self, version: ModelVersion) -> str:
        return pretty(version.scores)
