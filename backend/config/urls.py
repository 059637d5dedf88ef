"""The site's addresses."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config.readiness import add_checks
from web.fallback import error_answer, unknown_address
from web.health import AliveView, ReadyView


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


# Not in AppConfig.ready: commands need neither the admin nor the web framework.
admin.autodiscover()
add_checks()

urlpatterns = [
    path("", include("dashboard.urls")),
    path("admin/", admin.site.urls),
    path("api/auth/", include("accounts.api.urls")),
    path("api/trading/", include("trading.api.urls")),
    path("api/health/", AliveView.as_view(), name="health"),
    path("api/health/ready/", ReadyView.as_view(), name="health-ready"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(), name="docs"),
    path("metrics", metrics, name="metrics"),
    re_path(r"^api/", unknown_address),
]

handler400 = "web.fallback.bad_request"
handler403 = "web.fallback.permission_denied"
handler404 = "web.fallback.page_not_found"
handler500 = "web.fallback.server_error"
