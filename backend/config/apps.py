from django.apps import AppConfig


class WiringConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        import config.celery  # the app that tasks are sent by, from every process
        import config.checks  # importing registers them
        import config.times

        config.times.connect()
