"""/api/trading/models/: what the models were made of, and how good they were. Read-only."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import generics, serializers

from engine.candles import INTERVALS
from learning.models import ModelVersion
from learning.recipes import Algorithm
from trading.api.books import BookMixin, SymbolFilters
from trading.selectors.models import model_versions

BASELINES = ("majority_", "coin_")


class DataRangeSerializer(serializers.Serializer[Any]):
    first_time = serializers.DateTimeField()
    last_time = serializers.DateTimeField()
    rows = serializers.IntegerField(help_text="Candles that it was trained on.")


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    symbol_name = serializers.CharField(source="symbol.name")
    model_type = serializers.CharField(source="algorithm")
    recipe = serializers.DictField(help_text="Everything that makes the model, its seed included.")
    data_range = DataRangeSerializer(source="*")
    scores = serializers.SerializerMethodField()
    baselines = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "symbol",
            "symbol_id",
            "symbol_name",
            "interval",
            "model_type",
            "recipe",
            "data_range",
            "scores",
            "baselines",
            "content_hash",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(help_text="Out of sample; empty while the model has not been scored."))
    def get_scores(self, version: ModelVersion) -> dict[str, Any]:
        return {name: value for name, value in version.scores.items() if not name.startswith(BASELINES)}

    @extend_schema_field(serializers.DictField(help_text="What the commonest class and a coin scored on those rows."))
    def get_baselines(self, version: ModelVersion) -> dict[str, Any]:
        return {name: value for name, value in version.scores.items() if name.startswith(BASELINES)}


class ModelFilters(SymbolFilters):
    interval = filters.ChoiceFilter(choices=[(name, name) for name in INTERVALS])
    model_type = filters.ChoiceFilter(field_name="algorithm", choices=[(it.value, it.value) for it in Algorithm])


class ModelMixin(BookMixin):
    queryset = ModelVersion.objects.none()  # for the schema
    serializer_class = ModelVersionSerializer

    def get_queryset(self) -> Any:
        return model_versions(self.account)


class ModelList(ModelMixin, generics.ListAPIView):
    """The models of the followed symbols, newest first."""

    filterset_class = ModelFilters


class ModelDetail(ModelMixin, generics.RetrieveAPIView):
    """One model."""
