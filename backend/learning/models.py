"""The registry of models."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from learning.choice import ModelChoice
from market.models import Symbol


class ModelVersion(models.Model):
    """A trained model: its recipe and data, its out-of-sample scores, and its status.

    `content_hash` is that of everything its probabilities depend on (`learning.registry.stored`); the trees
    themselves are in ModelArtefact, so that a list does not read them. Only the status of a version changes.
    """

    class Status(models.TextChoices):
        CHAMPION = "champion"
        """Used for decisions. One for each name in a market."""

        CHALLENGER = "challenger"
        """Predicts in shadow; not used for decisions."""

        RETIRED = "retired"

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="models")
    interval = models.CharField(max_length=3)
    # learning.choice.ModelChoice as text
    name = models.CharField(max_length=60, default="")
    algorithm = models.CharField(max_length=30)
    recipe = models.JSONField()
    features = models.JSONField(default=dict)
    # learning.scores.drift.Profile: the distribution of the features in the training rows
    profile = models.JSONField(default=dict)
    first_time = models.DateTimeField()
    last_time = models.DateTimeField()
    rows = models.PositiveIntegerField()
    class_counts = models.JSONField(default=list)
    scores = models.JSONField(default=dict)
    calibration = models.JSONField(default=dict)
    data_hash = models.CharField(max_length=64, default="")
    artefact_hash = models.CharField(max_length=64, default="")
    content_hash = models.CharField(max_length=64)
    status = models.CharField(max_length=10, choices=Status, default=Status.CHALLENGER)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["symbol", "interval", "algorithm", "-id"], name="learning_model_newest"),
            # The versions of a name in a market (learning.registry.selectors).
            models.Index(fields=["symbol", "interval", "name", "-id"], name="learning_model_named"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "interval", "content_hash"], name="learning_model_version_is_unique"
            ),
            models.UniqueConstraint(
                fields=["symbol", "interval", "name"],
                condition=Q(status="champion"),
                name="learning_one_champion",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["champion", "challenger", "retired"]), name="learning_model_status_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.algorithm} {self.symbol} {self.interval} {self.content_hash[:8]}"


class ModelArtefact(models.Model):
    """The trees of a version as compressed ONNX, in the database that all workers share."""

    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, primary_key=True, related_name="artefact")
    content = models.BinaryField()

    def __str__(self) -> str:
        return f"artefact of version {self.version_id}"


class PromotionKind(models.TextChoices):
    FIRST = "first"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class Promotion(models.Model):
    """A change of champion with its reason. `version` is the new champion; null where there is none."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="promotions")
    interval = models.CharField(max_length=3)
    name = models.CharField(max_length=60)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="promotions")
    replaced = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=12, choices=PromotionKind)
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["symbol", "interval", "name", "-id"], name="learning_promotion_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.symbol} {self.interval}"


class TrainingTask(models.Model):
    """A training that a user requested; a training process claims it."""

    task_id = models.UUIDField(unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="trainings")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="trainings")
    interval = models.CharField(max_length=3)
    name = models.CharField(max_length=60)
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    error = models.TextField(blank=True)

    class Meta:
        indexes = [
            # Unfinished trainings (learning.registry.selectors.waiting_trainings).
            models.Index(fields=["id"], condition=Q(finished_at=None), name="learning_training_waits"),
        ]

    def __str__(self) -> str:
        return f"training of {self.name} for {self.symbol} {self.interval}"

    @property
    def choice(self) -> ModelChoice:
        return ModelChoice.named(self.name)

    @property
    def status(self) -> str:
        if self.finished_at is not None:
            return "failed" if self.error else "done"
        return "queued" if self.started_at is None else "running"


class ShadowAnswer(models.Model):
    """The probabilities of champion and challenger for one candle, and its label `truth` (null while it is open).

    In the order SELL, HOLD, BUY. Rows of one tenure are compared; every change of champion begins a new tenure.
    """

    tenure = models.ForeignKey(Promotion, on_delete=models.PROTECT, related_name="shadow_answers")
    open_time = models.DateTimeField()
    champion = models.JSONField()
    challenger = models.JSONField(null=True)
    challenged_by = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="shadow_answers")
    truth = models.PositiveSmallIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenure", "open_time"], name="learning_shadow_answer_once"),
            models.CheckConstraint(
                condition=Q(challenger__isnull=True, challenged_by__isnull=True)
                | Q(challenger__isnull=False, challenged_by__isnull=False),
                name="learning_shadow_answer_has_a_model",
            ),
            models.CheckConstraint(
                condition=Q(truth__isnull=True) | Q(truth__lte=2), name="learning_shadow_truth_is_a_class"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.open_time:%Y-%m-%d %H:%M} in shadow"
