from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"

    def ready(self) -> None:
        from trading import errors
        from trading.books import provisioning

        provisioning.connect()
        errors.register_error_responses()
