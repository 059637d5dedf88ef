from django.contrib import admin

from engine.orders import Action
from learning.models import ModelVersion, Promotion, ShadowAnswer, TrainingTask
from web.facts import ReadOnlyAdmin, link, pretty


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


@admin.register(ShadowAnswer)
class ShadowAnswerAdmin(ReadOnlyAdmin):
    """What champion and challenger said of each candle, and what it became. No order was ever made of it."""

    list_display = ("id", "open_time", "tenure", "champion_said", "challenger_said", "challenged_by", "became")
    list_select_related = ("tenure__symbol", "challenged_by__symbol")
    search_fields = ("=tenure__symbol__symbol", "=tenure__name")
    # Not the foreign keys themselves: the page links to what they name.
    fields = ("open_time", "of", "champion_said", "against", "challenger_said", "became", "created_at")
    readonly_fields = fields

    @admin.display(description="tenure")
    def of(self, answer: ShadowAnswer) -> str | None:
        return link(answer.tenure)

    @admin.display(description="challenged by")
    def against(self, answer: ShadowAnswer) -> str | None:
        return link(answer.challenged_by)

    @admin.display(description="champion: SELL / HOLD / BUY")
    def champion_said(self, answer: ShadowAnswer) -> str | None:
        return _shares(answer.champion)

    @admin.display(description="challenger: SELL / HOLD / BUY")
    def challenger_said(self, answer: ShadowAnswer) -> str | None:
        return _shares(answer.challenger)

    @admin.display(description="became", ordering="truth")
    def became(self, answer: ShadowAnswer) -> str | None:
        return None if answer.truth is None else Action(answer.truth).name


def _shares(probabilities: list[float] | None) -> str | None:
    return None if probabilities is None else " / ".join(f"{share:.3f}" for share in probabilities)
