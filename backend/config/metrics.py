"""/metrics for Prometheus."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView

from web.fallback import error_answer


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Requires METRICS_TOKEN as a bearer token; without one, it is public while DEBUG is on and 404 when it is off.

    Not by address: behind a proxy on the same machine, all requests come from 127.0.0.1.
    """
    if not settings.METRICS_TOKEN:
        return ExportToDjangoView(request) if settings.DEBUG else error_answer(404, "Not found.", "not_found")
    if constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {settings.METRICS_TOKEN}"):
        return ExportToDjangoView(request)
    answer = error_answer(401, "METRICS_TOKEN is needed as a bearer token.", "not_authenticated")
    answer["WWW-Authenticate"] = 'Bearer realm="metrics"'
    return answer
