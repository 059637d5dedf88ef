from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from backtests import services
from backtests.document import Document
from backtests.models import BacktestRun, Status
from tests.backtests.runs import options, result

pytestmark = pytest.mark.django_db


def test_a_run_goes_from_queued_to_done_through_one_door():
    row = services.new_run(options(), status=Status.QUEUED)
    row.save()
    services.finish(row, Document(result()))
    row.refresh_from_db()
    assert (row.status, row.progress, row.start < row.end) == (Status.DONE, 100, True)


def test_a_failed_run_keeps_its_reason():
    row = services.fail(services.new_run(options()), "x" * 5000)
    row.refresh_from_db()
    assert (row.status, len(row.error)) == (Status.FAILED, services.LONGEST_ERROR)


def test_numbers_come_back_as_they_were_stored():
    row = services.new_run(options())
    row.metrics = {"money": Decimal("10.10"), "tiny": Decimal("0.00000001")}
    row.save()
    row.refresh_from_db()
    # By name: PostgreSQL keeps every digit, and sorts the names its own way.
    assert {name: str(value) for name, value in row.metrics.items()} == {"money": "10.10", "tiny": "1E-8"}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "lost"},
        {"progress": 101},
        {"status": Status.DONE, "finished": timezone.now()},
        {"status": Status.CANCELLED},
        {"finished": timezone.now()},
        {"status": Status.FAILED, "finished": timezone.now()},
    ],
)
def test_the_database_forbids_what_cannot_be(changes: dict[str, Any]):
    row = services.new_run(options())
    for name, value in changes.items():
        setattr(row, name, value)
    with pytest.raises(IntegrityError):
        row.save()


def test_the_newest_runs_of_a_user_come_from_an_index():
    user = User.objects.create_user("trader@example.com", "secret")
    plan = BacktestRun.objects.filter(user=user).order_by("-created").explain()
    assert "backtests_run_user_newest" in plan or connection.vendor != "sqlite"
    assert "TEMP B-TREE" not in plan


def test_the_admin_shows_runs_and_changes_none(client: Client):
    client.force_login(User.objects.create_superuser("admin@example.com", "secret"))
    row = services.finish(services.new_run(options()), Document(result()))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get("/admin/backtests/backtestrun/").status_code == 200
    assert len(queries) < 10
    page = client.get(f"/admin/backtests/backtestrun/{row.pk}/change/")
    assert page.status_code == 200
    assert site.is_registered(BacktestRun)
    assert client.get("/admin/backtests/backtestrun/add/").status_code == 403
    assert client.post(f"/admin/backtests/backtestrun/{row.pk}/delete/", {"post": "yes"}).status_code == 403
