"""Asking the Market Monitor to look now. Who asks only writes it down: the agents' process looks, and says so."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.http import Http404
from django.utils import timezone

from market.models import Symbol
from trading.models import Account, AgentType, RefreshRequest
from trading.selectors.markets import Market

KEPT = timedelta(days=1)


def request_refresh(account: Account, symbols: Iterable[Symbol]) -> UUID:
    """The id of the task."""
    task, interval, now = uuid.uuid4(), account.settings.interval, timezone.now()
    RefreshRequest.objects.filter(account=account, looked_at__lt=now - KEPT).delete()
    RefreshRequest.objects.bulk_create(
        RefreshRequest(task_id=task, account=account, symbol=symbol, interval=interval, requested_at=now)
        for symbol in symbols
    )
    _wake()
    return task


def _wake() -> None:
    """Has a worker look, where there are workers; without them the loop finds the request in its next round."""
    if settings.REDIS_URL:
        from trading.messages.wake import wake_worker  # Celery takes half a second to import

        transaction.on_commit(lambda: wake_worker(AgentType.MARKET_MONITOR))


def refresh_rows(account: Account, task_id: str) -> list[RefreshRequest]:
    """What was asked for by one request of the account, one row per symbol. Raises Http404."""
    try:
        asked = RefreshRequest.objects.filter(account=account, task_id=uuid.UUID(task_id))
    except ValueError:
        asked = RefreshRequest.objects.none()
    if not (rows := list(asked.select_related("symbol").order_by("symbol__symbol"))):
        raise Http404("no such task")
    return rows


def looked_at(markets: Iterable[Market], since: datetime) -> None:
    """The Market Monitor has looked at these markets, beginning at `since`: what was asked for before is done."""
    asked = RefreshRequest.objects.filter(looked_at=None, requested_at__lte=since)
    # A read first: an update takes the write lock, and there is hardly ever anything to update.
    pairs = set(asked.values_list("symbol_id", "interval"))
    done = [Q(symbol=it.symbol, interval=it.interval) for it in markets if (it.symbol.pk, it.interval) in pairs]
    for market in done:
        asked.filter(market).update(looked_at=timezone.now())
