from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"

    def ready(self) -> None:
        from trading import errors, provisioning

        provisioning.connect()
        errors.add_answers()
