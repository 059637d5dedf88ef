"""Pages for people."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from dashboard.views import status

urlpatterns = [
    path("", status, name="status"),
    path("login/", LoginView.as_view(template_name="dashboard/login.html"), name="log-in"),
    path("logout/", LogoutView.as_view(), name="log-out"),
]
