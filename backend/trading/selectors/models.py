"""The models of what an account follows."""

from django.db.models import QuerySet

from learning.models import ModelVersion
from trading.models import Account
from trading.selectors.symbols import followed_symbols


def model_versions(account: Account) -> "QuerySet[ModelVersion]":
    """Newest first."""
    symbols = list(followed_symbols(account).values_list("pk", flat=True))
    return ModelVersion.objects.filter(symbol__in=symbols).select_related("symbol").order_by("-pk")
