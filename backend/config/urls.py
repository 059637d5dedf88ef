"""The site's addresses."""

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config.metrics import metrics
from config.readiness import add_checks
from web.fallback import unknown_address
from web.health import AliveView, ReadyView

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
