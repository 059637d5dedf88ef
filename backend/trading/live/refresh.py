"""Requests to poll markets now. The API stores a request, the process of the agents polls and marks it as done."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.http import Http404
from django.utils import timezone

from market.models import Symbol
from trading.models import Account, AgentType, RefreshRequest
from trading.selectors.markets import Market

KEPT = timedelta(days=1)


def request_refresh(account: Account, symbols: Iterable[Symbol]) -> UUID:
    """Stores a request for each symbol, wakes a worker where there are workers, and returns the id of the task."""
    task, interval, now = uuid.uuid4(), account.settings.interval, timezone.now()
    RefreshRequest.objects.filter(account=account, looked_at__lt=now - KEPT).delete()
    RefreshRequest.objects.bulk_create(
        RefreshRequest(task_id=task, account=account, symbol=symbol, interval=interval, requested_at=now)
        for symbol in symbols
    )
    if settings.REDIS_URL:
        from trading.messages.wake import wake_worker  # Celery takes 0.1 s to import

        transaction.on_commit(lambda: wake_worker(AgentType.MARKET_MONITOR))
    return task


def refresh_rows(account: Account, task_id: str) -> list[RefreshRequest]:
    """The rows of one request of the account, one per symbol. Raises Http404."""
    try:
        requests = RefreshRequest.objects.filter(account=account, task_id=uuid.UUID(task_id))
    except ValueError:
        requests = RefreshRequest.objects.none()
    if not (rows := list(requests.select_related("symbol").order_by("symbol__symbol"))):
        raise Http404("no such task")
    return rows


def complete_requests(markets: Iterable[Market], since: datetime) -> None:
    """Marks the requests of these markets that were made before `since`, when the Market Monitor began to poll them."""
    waiting = RefreshRequest.objects.filter(looked_at=None, requested_at__lte=since)
    # A read first: an update takes the write lock, and there is hardly ever anything to update.
    pairs = set(waiting.values_list("symbol_id", "interval"))
    for market in markets:
        if (market.symbol.pk, market.interval) in pairs:
            waiting.filter(symbol=market.symbol, interval=market.interval).update(looked_at=timezone.now())
