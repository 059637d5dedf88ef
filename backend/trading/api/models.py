"""/api/trading/models/: recipes and scores of the models, and training requests."""

from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from engine.candles import INTERVALS
from learning.choice import ModelChoice
from learning.models import ModelVersion, TrainingTask
from learning.registry.requests import request_training
from learning.training.recipes import Algorithm
from trading.api.base import RowFilters, RowViewSet
from trading.api.inputs import IdField, body
from trading.selectors.models import model_versions, training_task
from trading.selectors.symbols import followed_symbol
from web.errors import Conflict

MOST_WAITING = 10


class DataRangeSerializer(serializers.Serializer[Any]):
    first_time = serializers.DateTimeField()
    last_time = serializers.DateTimeField()
    rows = serializers.IntegerField(help_text="Training candles.")


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    symbol_name = serializers.CharField(source="symbol.name")
    model_type = serializers.CharField(source="algorithm")
    name = serializers.CharField(help_text="Model type, horizon and history, as chosen in the settings.")
    status = serializers.ChoiceField(
        choices=ModelVersion.Status.values, help_text="A champion decides; a challenger is on trial against it."
    )
    recipe = serializers.DictField(help_text="All training parameters, the seed included.")
    features = serializers.DictField(help_text="Form and version of the 14 inputs.")
    calibration = serializers.DictField(
        help_text="Maps the raw probabilities of the trees to the probabilities that decide."
    )
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
            "name",
            "status",
            "recipe",
            "features",
            "data_range",
            "scores",
            "baselines",
            "calibration",
            "artefact_hash",
            "content_hash",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(help_text="Out of sample; empty where the history was too short."))
    def get_scores(self, version: ModelVersion) -> dict[str, Any]:
        return {name: value for name, value in version.scores.items() if name != "baselines"}

    @extend_schema_field(serializers.DictField(help_text="Scores of trivial predictors on the same rows."))
    def get_baselines(self, version: ModelVersion) -> dict[str, Any]:
        baselines: dict[str, Any] = version.scores.get("baselines", {})
        return baselines


class ModelFilters(RowFilters):
    interval = filters.ChoiceFilter(choices=[(name, name) for name in INTERVALS])
    model_type = filters.ChoiceFilter(field_name="algorithm", choices=[(it.value, it.value) for it in Algorithm])
    status = filters.ChoiceFilter(choices=ModelVersion.Status.choices)


class TrainBody(serializers.Serializer[Any]):
    symbol_id = IdField()
    interval = serializers.ChoiceField(choices=list(INTERVALS), required=False, help_text="Default: of the settings.")
    model_type = serializers.ChoiceField(
        choices=[algorithm.value for algorithm in Algorithm], required=False, help_text="Default: of the settings."
    )


class TrainingSerializer(serializers.ModelSerializer[TrainingTask]):
    symbol = serializers.CharField(source="symbol.symbol")
    symbol_id = serializers.IntegerField()
    model_type = serializers.CharField(source="choice.algorithm")
    status = serializers.ChoiceField(choices=["queued", "running", "done", "failed"])
    model_id = serializers.IntegerField(source="version_id", allow_null=True, help_text="Null until it is done.")
    error = serializers.CharField(help_text="Why it failed; empty otherwise.")

    class Meta:
        model = TrainingTask
        fields = [
            "task_id",
            "status",
            "symbol",
            "symbol_id",
            "interval",
            "model_type",
            "name",
            "requested_at",
            "started_at",
            "finished_at",
            "model_id",
            "error",
        ]
        read_only_fields = fields


class ModelViewSet(RowViewSet):
    """The models of the followed symbols, newest first."""

    queryset = ModelVersion.objects.none()  # for the schema
    serializer_class = ModelVersionSerializer
    filterset_class = ModelFilters

    def get_queryset(self) -> "QuerySet[ModelVersion]":
        return model_versions(self.account)

    @extend_schema(request=TrainBody, responses={202: TrainingSerializer})
    @action(detail=False, methods=["post"], throttle_scope="agents", error_statuses=(404, 409))
    def train(self, request: Request) -> Response:
        """Request a model with the horizon and the history of the settings. Poll the task.

        It is trained on the stored history of the market, which is fetched first if there is none. The first model of
        its name becomes the champion, a later one a challenger. A repeated request returns the waiting task.
        """
        wanted = body(TrainBody, request)
        settings = self.account.settings
        symbol = followed_symbol(self.account, pk=wanted["symbol_id"])
        choice = ModelChoice.named(settings.model_name)
        choice = replace(choice, algorithm=wanted.get("model_type", choice.algorithm))
        market = {"symbol": symbol, "interval": wanted.get("interval", settings.interval), "name": str(choice)}
        unfinished = TrainingTask.objects.filter(user=self.account.user_id, finished_at=None)
        task = unfinished.filter(**market).first()
        if task is None and unfinished.count() >= MOST_WAITING:
            raise Conflict(f"{MOST_WAITING} of your trainings are waiting already.", "too_many_trainings")
        return Response(TrainingSerializer(task or request_training(self.account.user, **market)).data, status=202)

    @extend_schema(responses=TrainingSerializer)
    @action(detail=False, url_path="train/<str:task_id>")
    def training(self, request: Request, task_id: str) -> Response:
        """The state of a training."""
        return Response(TrainingSerializer(training_task(self.account, task_id)).data)
