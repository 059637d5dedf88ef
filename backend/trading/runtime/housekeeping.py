"""What has to be done from time to time, by nobody in particular. It may be done twice, late, or by several at once."""

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
# A client that lost its answer asks again within minutes; a day covers a phone that was switched off.
ANSWERS_KEPT = timedelta(hours=48)
BATCH = 1000


def tidy() -> None:
    """Forgets old answers and expired sessions, and gives an account to users that have none."""
    forget_answers()
    forget_expired()
    provision_all()


def forget_answers() -> int:
    """Those that are older than ANSWERS_KEPT; how many there were."""
    old = IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - ANSWERS_KEPT).order_by("created_at")
    forgotten = 0
    # In pieces, so that no agent waits long for SQLite's only write lock.
    while keys := list(old.values_list("pk", flat=True)[:BATCH]):
        forgotten += IdempotentAnswer.objects.filter(pk__in=keys).delete()[0]
    return forgotten


def provision_all() -> int:
    """Gives an account to users who have none (made by loaddata or bulk_create). Returns how many."""
    without = User.objects.exclude(accounts__mode=Mode.PAPER).order_by("pk")
    made = 0
    for user in without.iterator():
        provision(user)
        logger.info("a paper account for the user %s", user.pk)
        made += 1
    return made


class Housekeeper:
    """Tidies when it is time, however often it is told to. A failure is logged and keeps no agent from its work."""

    def __init__(self) -> None:
        self._next = 0.0

    def work(self) -> None:
        if monotonic() >= self._next:
            self._next = monotonic() + EVERY_SECONDS
            try:
                tidy()
            except OUTAGES:
                raise
            except Exception:
                logger.exception("housekeeping failed, and is tried again in an hour")
