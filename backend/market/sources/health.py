"""How the sources are doing: written by those who ask them, read by status pages and health checks."""

from datetime import datetime

from django.db.models import F
from django.utils import timezone

from market.errors import SourceError
from market.models import SourceState

State = SourceState.State
LONGEST_ERROR = 500


def source_states() -> list[SourceState]:
    """One of every source that was ever asked, by name."""
    return list(SourceState.objects.all())


def record(source: str, error: SourceError | None, retry_at: datetime | None) -> None:
    """Write down how a request went, and until when the source is left alone. (A market.sources.resilience.Report.)"""
    now = timezone.now()
    if error is None:
        _write(source, state=State.WORKING, failures=0, last_success_at=now, retry_at=None)
        return
    state = State.PAUSED if retry_at else State.WORKING
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
