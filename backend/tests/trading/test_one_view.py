"""The audit reads all books at one moment, while others go on writing them."""

import json
from pathlib import Path

import pytest

from tests.trading.test_races import finished, shared_database, start

# A transfer is committed by another connection in the middle of an audit: between the book of an account and its cash.
RACE = """
import json, threading
from decimal import Decimal
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.utils import DatabaseError
from trading.books.audit import differences
from trading.books.demo import demo_account
from trading.models import Account, CashEntry
from trading.books.consistent_read import one_view
call_command("migrate", verbosity=0)
demo_account("view@example.com", ["GOOG"], "1d")
account = Account.objects.get()
committed = []
def transfer():
    with transaction.atomic():
        Account.objects.filter(pk=account.pk).update(cash=F("cash") + 1, initial_balance=F("initial_balance") + 1)
        balance = Account.objects.get(pk=account.pk).cash
        CashEntry.objects.create(account=account, amount=Decimal(1), balance=balance)
    committed.append(balance)
    connection.close()
def beside(execute, sql, *rest):
    if 'FROM "trading_cashentry"' in sql and not committed:
        writer = threading.Thread(target=transfer, daemon=True)
        writer.start()
        writer.join(10)
    return execute(sql, *rest)
before = Account.objects.get().cash
with connection.execute_wrapper(beside):
    during = differences(Account.objects.all())
unseen = []
with one_view():
    unseen.append(str(Account.objects.get().cash))
    late = threading.Thread(target=transfer, daemon=True)
    late.start()
    late.join(10)
    unseen.append(str(Account.objects.get().cash))
    try:
        with transaction.atomic():
            Account.objects.update(cash=0)
    except DatabaseError:
        refused = True
after = differences(Account.objects.all())
told = {"before": before, "committed": committed, "during": during, "unseen": unseen, "after": after}
print(json.dumps({**told, "refused": refused}, default=str))
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_transfer_in_the_middle_of_an_audit_is_no_difference_and_nobody_waits(tmp_path: Path) -> None:
    told = json.loads(finished(start(RACE, shared_database(tmp_path))))
    before = float(told["before"])
    assert [float(balance) - before for balance in told["committed"]] == [1, 2]
    assert told["during"] == told["after"] == []
    assert [float(balance) - before for balance in told["unseen"]] == [1, 1]
    assert told["refused"]
