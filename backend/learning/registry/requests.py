"""Training requests: created by the API, claimed by a training process."""

import uuid

from django.utils import timezone

from accounts.models import User
from learning.choice import ModelChoice
from learning.models import ModelVersion, TrainingTask
from learning.registry.selectors import waiting_trainings
from market.models import Symbol

CLAIM_ATTEMPTS = 10


def request_training(user: User, symbol: Symbol, interval: str, name: str) -> TrainingTask:
    """Raises RecipeError where `name` is not a model name."""
    return TrainingTask.objects.create(
        task_id=uuid.uuid4(), user=user, symbol=symbol, interval=interval, name=str(ModelChoice.named(name))
    )


def begin_training() -> TrainingTask | None:
    """Claims the next training for the calling process; None where there is none."""
    for task in waiting_trainings()[:CLAIM_ATTEMPTS]:
        claimed = TrainingTask.objects.filter(pk=task.pk, started_at=task.started_at, finished_at=None)
        if claimed.update(started_at=timezone.now()):
            task.refresh_from_db()
            return task
    return None


def finish_training(task: TrainingTask, version: ModelVersion | None, error: str = "") -> None:
    task.version, task.error, task.finished_at = version, error, timezone.now()
    task.save(update_fields=["version", "error", "finished_at"])
