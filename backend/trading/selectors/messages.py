"""The messages that a user may read."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from trading.models import Account, Message
from trading.selectors.symbols import followed_symbols


@dataclass(frozen=True)
class OwnMessages:
    """What an account was told, and what all are told about the symbols that it follows."""

    told: Q
    shared: Q

    def newest_first(self) -> "QuerySet[Message]":
        return Message.objects.filter(self.told | self.shared).order_by("-pk")

    def parts(self) -> "tuple[QuerySet[Message], QuerySet[Message]]":
        """The same in two, each of which can be counted on an index alone."""
        return Message.objects.filter(self.told), Message.objects.filter(self.shared)


def own_messages(account: Account) -> OwnMessages:
    # The ids and no join: the database can then choose between the newest of all messages and those of each part.
    symbols = list(followed_symbols(account).values_list("pk", flat=True))
    return OwnMessages(Q(account=account), Q(account=None, symbol__in=symbols))
