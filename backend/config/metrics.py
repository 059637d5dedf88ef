"""/metrics for Prometheus."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView

from web.fallback import error_answer


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """With METRICS_TOKEN for its bearer only; without, for everybody while DEBUG is on and for nobody when it is off.

    Not by address: behind a proxy on the same machine, everybody comes from 127.0.0.1.
    """
    authorization = request.headers.get("Authorization", "")
    if not settings.METRICS_TOKEN and not settings.DEBUG:
        return error_answer(404, "Not found.", "not_found")
    if not settings.METRICS_TOKEN or constant_time_compare(authorization, f"Bearer {settings.METRICS_TOKEN}"):
        page: HttpResponse = ExportToDjangoView(request)
        return page
    answer = error_answer(401, "METRICS_TOKEN is needed as a bearer token.", "not_authenticated")
    answer["WWW-Authenticate"] = 'Bearer realm="metrics"'
    return answer
