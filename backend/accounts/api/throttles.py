"""How often one account may be tried, from however many addresses."""

from hashlib import sha256
from typing import Any

from rest_framework.request import Request

from accounts.lockout import canonical_email
from web.throttling import OpenWithoutCache


class LoginNameThrottle(OpenWithoutCache):
    scope = "login-name"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        email = request.data.get("email") if isinstance(request.data, dict) else None
        if not isinstance(email, str) or "\0" in email:
            return None  # the serializer refuses it
        return f"throttle_{self.scope}_{sha256(canonical_email(email).encode()).hexdigest()}"
