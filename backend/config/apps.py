from django.apps import AppConfig
from django.conf import settings


class WiringConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        import config.checks  # importing registers them
        import config.times

        config.times.connect()
        if settings.REDIS_URL:
            import config.celery  # the app that tasks are sent by, which takes 0.1 s to import
