from django.apps import AppConfig


class WiringConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        import config.celery  # the app that tasks are sent by, from every process
        import config.checks  # noqa: F401  (importing registers them)
