"""Clean-up: old responses and expired sessions are deleted, and every user gets an account."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.models import User
from accounts.tokens import issue_tokens, revoke_token
from tests.api import make_user
from trading.books.accounts import WATCH_LIST, open_account
from trading.models import Account, AgentState, Follow, IdempotentAnswer
from trading.runtime import housekeeping
from trading.runtime.housekeeping import Housekeeping, clean_up, delete_old_responses, open_missing_accounts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_responses_are_kept_for_two_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    account = open_account(make_user())
    for hours in (0, 24, 47, 49, 50, 51, 5000):
        made = NOW - timedelta(hours=hours)
        IdempotentAnswer.objects.create(
            account=account, key=f"{hours}", fingerprint="", status=200, body="{}", created_at=made
        )
    with time_machine.travel(NOW, tick=False):
        assert delete_old_responses() == 4
        assert delete_old_responses() == 0
    assert set(IdempotentAnswer.objects.values_list("key", flat=True)) == {"0", "24", "47"}


def test_sessions_are_deleted_when_their_tokens_have_expired() -> None:
    user = make_user()
    with time_machine.travel(NOW - timedelta(days=365), tick=False):
        revoke_token(user, issue_tokens(user).refresh)
        issue_tokens(user)
    with time_machine.travel(NOW, tick=False):
        issue_tokens(user)
        clean_up()
    assert OutstandingToken.objects.count() == 1
    assert not BlacklistedToken.objects.exists()


def test_users_made_in_bulk_get_what_others_have() -> None:
    known = make_user()
    Account.objects.filter(user=known).update(cash=1)
    User.objects.bulk_create([User(email=f"early{number}@example.com", password="!") for number in range(2)])
    assert open_missing_accounts() == 2
    assert open_missing_accounts() == 0
    for user in User.objects.exclude(pk=known.pk):
        assert AgentState.objects.filter(user=user).count() == 3
        assert Follow.objects.filter(account__user=user).count() == len(WATCH_LIST)
    assert Account.objects.get(user=known).cash == 1


def test_it_runs_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr(housekeeping, "clean_up", lambda: done.append(1))
    seconds = [100.0]
    monkeypatch.setattr(housekeeping, "monotonic", lambda: seconds[0])
    housekeeping_job = Housekeeping()
    for moment in (100.0, 101.0, 3699.0, 3701.0, 3702.0):
        seconds[0] = moment
        housekeeping_job.run()
    assert len(done) == 2
