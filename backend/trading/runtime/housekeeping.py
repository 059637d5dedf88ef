"""Periodic, idempotent clean-up; several processes may run it at once."""

import logging
from datetime import timedelta
from time import monotonic

from django.utils import timezone

from accounts.models import User
from accounts.tokens import forget_expired
from trading.books.accounts import provision
from trading.messages.adapter import OUTAGES
from trading.models import IdempotentAnswer, Mode

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
# A client that lost its response retries within minutes; two days cover a device that was switched off.
RESPONSES_KEPT = timedelta(hours=48)
BATCH = 1000


def clean_up() -> None:
    """Deletes old idempotent responses and expired sessions, and opens accounts for users without one."""
    delete_old_responses()
    forget_expired()
    open_missing_accounts()


def delete_old_responses() -> int:
    """Deletes those older than RESPONSES_KEPT. Returns how many."""
    old = IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - RESPONSES_KEPT).order_by("created_at")
    deleted = 0
    # In batches, so that no agent waits long for SQLite's only write lock.
    while keys := list(old.values_list("pk", flat=True)[:BATCH]):
        deleted += IdempotentAnswer.objects.filter(pk__in=keys).delete()[0]
    return deleted


def open_missing_accounts() -> int:
    """Opens accounts for users made by loaddata or bulk_create. Returns how many."""
    without = User.objects.exclude(accounts__mode=Mode.PAPER).order_by("pk")
    opened = 0
    for user in without.iterator():
        provision(user)
        logger.info("a paper account for the user %s", user.pk)
        opened += 1
    return opened


class Housekeeping:
    """Cleans up at most every EVERY_SECONDS. A failure is logged and not raised."""

    def __init__(self) -> None:
        self._next = 0.0

    def run(self) -> None:
        if monotonic() >= self._next:
            self._next = monotonic() + EVERY_SECONDS
            try:
                clean_up()
            except OUTAGES:
                raise
            except Exception:
                logger.exception("housekeeping failed, and is tried again in an hour")
