from django.contrib import admin

from engine.orders import Action
from learning.models import ModelVersion, Promotion, ShadowAnswer, TrainingTask
from web.facts import ReadOnlyAdmin, link, pretty


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """Models with their recipes, scores and status."""

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
    readonly_fields = ("recipe_text", "features_text", "scores_text", "calibration_text")

    @admin.display(description="hash")
    def short_hash(self, version: ModelVersion) -> str:
        return version.content_hash[:8]

    @admin.display(description="recipe")
    def recipe_text(self, version: ModelVersion) -> str:
        return pretty(version.recipe)

    @admin.display(description="features")
    def features_text(self, version: ModelVersion) -> str:
        return pretty(version.features)

    @admin.display(description="scores")
    def scores_text(self, version: ModelVersion) -> str:
        return pretty(version.scores)

    @admin.display(description="calibration")
    def calibration_text(self, version: ModelVersion) -> str:
        return pretty(version.calibration)


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    """Changes of champion with their reasons."""

    list_display = ("id", "created_at", "kind", "symbol", "interval", "name", "version", "replaced", "reason")
    list_filter = ("kind", "interval")
    list_select_related = ("symbol", "version__symbol", "replaced__symbol")
    search_fields = ("=symbol__symbol", "name", "reason")
    date_hierarchy = "created_at"


@admin.register(TrainingTask)
class TrainingTaskAdmin(ReadOnlyAdmin):
    """Training requests and their results."""

    list_display = ("id", "requested_at", "user", "symbol", "interval", "name", "started_at", "finished_at", "error")
    list_select_related = ("user", "symbol")
    search_fields = ("=symbol__symbol", "name", "=user__email")
    date_hierarchy = "requested_at"


@admin.register(ShadowAnswer)
class ShadowAnswerAdmin(ReadOnlyAdmin):
    """Shadow predictions of champion and challenger for each candle, and its label. They never cause orders."""

    list_display = (
        "id",
        "open_time",
        "tenure",
        "champion_probabilities",
        "challenger_probabilities",
        "challenged_by",
        "label",
    )
    list_select_related = ("tenure__symbol", "challenged_by__symbol")
    search_fields = ("=tenure__symbol__symbol", "=tenure__name")
    # Links instead of the foreign keys.
    fields = (
        "open_time",
        "tenure_link",
        "champion_probabilities",
        "challenger_link",
        "challenger_probabilities",
        "label",
        "created_at",
    )
    readonly_fields = fields

    @admin.display(description="tenure")
    def tenure_link(self, row: ShadowAnswer) -> str | None:
        return link(row.tenure)

    @admin.display(description="challenged by")
    def challenger_link(self, row: ShadowAnswer) -> str | None:
        return link(row.challenged_by)

    @admin.display(description="champion: SELL / HOLD / BUY")
    def champion_probabilities(self, row: ShadowAnswer) -> str | None:
        return _shares(row.champion)

    @admin.display(description="challenger: SELL / HOLD / BUY")
    def challenger_probabilities(self, row: ShadowAnswer) -> str | None:
        return _shares(row.challenger)

    @admin.display(description="label", ordering="truth")
    def label(self, row: ShadowAnswer) -> str | None:
        return None if row.truth is None else Action(row.truth).name


def _shares(probabilities: list[float] | None) -> str | None:
    return None if probabilities is None else " / ".join(f"{share:.3f}" for share in probabilities)
