"""The messages that a user may read."""

from django.db.models import Q, QuerySet

from trading.models import Account, Message
from trading.selectors.symbols import followed_symbols


def own_messages(account: Account) -> "QuerySet[Message]":
    """Those of the account, and what all are told about the symbols that it follows; newest first."""
    # The ids and no join: the database can then choose between the newest of all messages and those of each part.
    symbols = list(followed_symbols(account).values_list("pk", flat=True))
    return Message.objects.filter(Q(account=account) | Q(account=None, symbol__in=symbols)).order_by("-pk")
