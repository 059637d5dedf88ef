"""What a new user starts with, whether made by the API, the admin or createsuperuser."""

from typing import Any

from django.db.models.signals import post_save

from accounts.models import User


def connect() -> None:
    post_save.connect(provide, sender=User, dispatch_uid="trading.books.provisioning")


def provide(instance: User, created: bool, raw: bool, **_: Any) -> None:
    """Paper account, settings, agents and watch list, in the transaction that saves the user."""
    if not created or raw:
        return
    # Here and not above: the services load pandas, which a mere start of the site does not need.
    from trading.books.accounts import provision

    provision(instance)
