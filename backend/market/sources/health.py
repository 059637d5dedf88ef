"""The state of each source: written by the processes that ask it, read by status pages and health checks."""

from datetime import datetime

from django.db.models import F
from django.utils import timezone

from market.errors import SourceError
from market.models import SourceState

LONGEST_ERROR = 500


def source_states() -> list[SourceState]:
    """One for every source that was ever asked, by name."""
    return list(SourceState.objects.all())


def record(source: str, error: SourceError | None, retry_at: datetime | None) -> None:
    """Stores the outcome of a request, and until when the source is paused. (A market.sources.resilience.Report.)"""
    now = timezone.now()
    if error is None:
        _write(source, state=SourceState.Condition.WORKING, failures=0, last_success_at=now, retry_at=None)
        return
    state = SourceState.Condition.PAUSED if retry_at else SourceState.Condition.WORKING
    _write(
        source,
        state=state,
        failures=F("failures") + 1,
        last_error=error.problem[:LONGEST_ERROR],
        last_failure_at=now,
        retry_at=retry_at,
    )


def _write(source: str, **changes: object) -> None:
    row = SourceState.objects.filter(name=source)
    if not row.update(**changes):
        # Another process may make it at the same moment.
        SourceState.objects.bulk_create([SourceState(name=source)], ignore_conflicts=True)
        row.update(**changes)
