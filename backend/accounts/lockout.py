"""Lock-out after failed log-ins: django-axes counts failures per account and address, in the database."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts.models import user_by_email
from web.fallback import error_answer

MESSAGE = "Too many failed attempts to log in. Try again later."


def login_name(request: HttpRequest | None, credentials: dict[str, Any] | None) -> str | None:
    """The name under which axes counts failures: the same for all spellings of an account's e-mail."""
    given = credentials or getattr(request, "POST", {})
    email = given.get("email") or given.get("username")
    return canonical_email(email) if isinstance(email, str) else None


def canonical_email(email: str) -> str:
    # Equality is the database's: lower() of Python and of PostgreSQL differ in a few letters.
    user = user_by_email(email)
    return (user.email if user else email.strip()).lower()


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    answer = error_answer(429, MESSAGE, "locked_out")
    # An upper bound: the period starts at the last failure.
    answer["Retry-After"] = str(int(settings.AXES_COOLOFF_TIME.total_seconds()))
    return answer
