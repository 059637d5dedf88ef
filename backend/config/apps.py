from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


class WiringConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        import config.times

        config.times.connect()
        if settings.REDIS_URL:
            import config.celery  # the app that tasks are sent by, which takes 0.1 s to import


@register(Tags.security)
def debug_stays_on_this_machine(**_: Any) -> list[CheckMessage]:
    others = sorted(set(settings.ALLOWED_HOSTS) - {"localhost", "127.0.0.1", "[::1]"})
    if not settings.DEBUG or not others:
        return []
    message = f"DEBUG is on and ALLOWED_HOSTS opens the site to {', '.join(others)}."
    hint = "DEBUG shows settings and source to visitors: set DEBUG=False and a SECRET_KEY of your own."
    return [Warning(message, hint=hint, id="photon.W001")]
