"""The demo: an account that trades the bundled candles, for the first start on a machine."""

import secrets
from collections.abc import Sequence
from decimal import Decimal

from django.db import transaction

from accounts.models import User, user_by_email
from market.models import Symbol
from market.services import add_symbol
from trading.books.accounts import follow, open_account, start_agents
from trading.models import Account, Follow, TradingSettings

EMAIL = "demo@photon.local"
LIVE_EMAIL = "live@photon.local"
BUNDLED = ("GOOG", "IBM")
INTERVAL = "1d"

# A lower threshold than the default, so that the demo trades. Every limit stays on.
SETTINGS = {"confidence_threshold": Decimal("0.40"), "risk_level": "high"}


def demo_account(email: str, symbols: Sequence[str], interval: str) -> tuple[Account, str | None]:
    """The running demo account of that name, and the password of its user when it was made just now."""
    user, password = user_by_email(email), None
    if user is None:
        password = secrets.token_urlsafe(12)
        user = _made(email, password, [add_symbol(symbol) for symbol in symbols], interval)
    account = open_account(user)
    start_agents(account)
    return account, password


@transaction.atomic
def _made(email: str, password: str, symbols: Sequence[Symbol], interval: str) -> User:
    user = User.objects.create_user(email, password, full_name="Demo")
    account = open_account(user)
    TradingSettings.objects.filter(account=account).update(interval=interval, **SETTINGS)
    # What a new user follows by default has no bundled candles.
    Follow.objects.filter(account=account).exclude(symbol__in=symbols).delete()
    follow(account, symbols)
    return user
