"""Numbered checks of the settings, run at the start of commands and by `./photon check`."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security)
def debug_stays_on_this_machine(**_: Any) -> list[CheckMessage]:
    others = sorted(set(settings.ALLOWED_HOSTS) - {"localhost", "127.0.0.1", "[::1]"})
    if not settings.DEBUG or not others:
        return []
    message = f"DEBUG is on and ALLOWED_HOSTS opens the site to {', '.join(others)}."
    hint = "DEBUG shows settings and source to visitors: set DEBUG=False and a SECRET_KEY of your own."
    return [Warning(message, hint=hint, id="photon.W001")]
