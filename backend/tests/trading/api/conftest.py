from tests.files import on_disk
from tests.trading.api.books import book
from tests.trading.api.clients import account, client, played, quickly, stranger, user

__all__ = ["account", "book", "client", "on_disk", "played", "quickly", "stranger", "user"]
