"""Views: nothing is written here, and nothing outside is asked."""

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.access import account_for
from dashboard.page import status_page


@never_cache
@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """How the agents, the market and the account are doing; `?part` gives the changing part of the page alone."""
    account = account_for(request)
    if account is None and not request.user.is_authenticated:
        return redirect_to_login("/")
    template = "dashboard/part.html" if "part" in request.GET else "dashboard/status.html"
    return render(request, template, {"page": None if account is None else status_page(account)})
