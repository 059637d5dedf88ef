"""Pages: read-only, from stored rows."""

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.page import status_page
from trading.models import Account, Mode


def account_for(request: HttpRequest) -> Account | None:
    """The account of the logged-in user; for other visitors the open demo account, if there is one.

    `./photon up` opens its demo account without a login only while it listens on loopback, DEBUG is on and
    ALLOWED_HOSTS is empty. Django checks the Host header, so that no other site can read the page through the browser.
    """
    accounts = Account.objects.select_related("settings", "user")
    if request.user.is_authenticated:
        return accounts.filter(user=request.user.pk).order_by("mode").last()
    if settings.OPEN_ACCOUNT_ID is None:
        return None
    return accounts.filter(pk=settings.OPEN_ACCOUNT_ID, mode=Mode.PAPER).first()


@never_cache
@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """The state of agents, market and account; `?part` returns only the part of the page that is refreshed."""
    account = account_for(request)
    if account is None and not request.user.is_authenticated:
        return redirect_to_login("/")
    template = "dashboard/part.html" if "part" in request.GET else "dashboard/status.html"
    return render(request, template, {"page": None if account is None else status_page(account)})
