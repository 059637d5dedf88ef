"""Rows that one test makes by playing candles, given to the others as they were."""

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db.models import Model

APPS = ("accounts", "market", "trading")

Rows = dict[type[Model], list[Any]]


def made_once(rows: Rows, make: Callable[[], object]) -> None:
    """Writes the rows again, or has them made where there are none yet."""
    if rows:
        for model, saved in rows.items():
            model.objects.bulk_create(saved)
        return
    make()
    models = [model for model in apps.get_models() if model._meta.app_label in APPS and not model._meta.proxy]
    rows.update({model: list(model.objects.order_by("pk")) for model in models})
