"""Arguments of several commands: the account of an e-mail, a symbol, a number of seconds."""

from argparse import ArgumentTypeError

from django.core.management import CommandError

from accounts.selectors import user_by_email
from market.errors import SymbolError
from market.models import Symbol
from market.services import add_symbol
from trading.books.accounts import open_account
from trading.models import Account

LONGEST_SECONDS = 31 * 24 * 60 * 60


def account_of(email: str) -> Account:
    """The paper account of a user, opened if there is none. Raises CommandError for an unknown e-mail."""
    user = user_by_email(email)
    if user is None:
        raise CommandError(f"there is no user with the e-mail {email}; ./photon createsuperuser makes one")
    return open_account(user)


def symbol_of(text: str) -> Symbol:
    try:
        return add_symbol(text)
    except SymbolError as error:
        raise CommandError(str(error)) from error


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= LONGEST_SECONDS:
        raise ArgumentTypeError(f"must be seconds from 0 to {LONGEST_SECONDS}, not {text!r}")
    return number
