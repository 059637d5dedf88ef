"""Whose account it is."""

from django.http import Http404

from accounts.models import User
from trading.models import Account, Mode


def account_of(user: User) -> Account:
    """The paper account of a user, with its settings. Raises Http404 where there is none."""
    account = Account.objects.filter(user=user.pk, mode=Mode.PAPER).select_related("settings__symbol").first()
    if account is None:
        raise Http404("no paper account")
    return account
