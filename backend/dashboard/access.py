"""Whose account a visitor may see: their own, and nobody else's.

`./photon up` opens its demo account to visitors without a login when it listens on loopback only, DEBUG is on and
ALLOWED_HOSTS names nobody: then only this machine can ask, there is nothing but paper money to see, and a first look
costs no password. The Host header is checked by Django, so a page elsewhere cannot ask in the visitor's name.
"""

from django.conf import settings
from django.http import HttpRequest

from trading.models import Account, Mode


def account_for(request: HttpRequest) -> Account | None:
    """None for a visitor who has to log in first."""
    accounts = Account.objects.select_related("settings", "user")
    if request.user.is_authenticated:
        return accounts.filter(user=request.user.pk).order_by("mode").last()
    return accounts.filter(pk=settings.OPEN_ACCOUNT_ID, mode=Mode.PAPER).first()
