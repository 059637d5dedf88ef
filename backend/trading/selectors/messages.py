"""The messages a user may read."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from trading.models import Account, Message
from trading.selectors.symbols import followed_symbols


@dataclass(frozen=True)
class OwnMessages:
    """The account's own messages, and the shared snapshots of its followed symbols."""

    own: Q
    shared: Q

    def newest_first(self) -> "QuerySet[Message]":
        return Message.objects.filter(self.own | self.shared).order_by("-pk")

    def parts(self) -> "tuple[QuerySet[Message], QuerySet[Message]]":
        """The same as two disjoint queries, each with an index-only count."""
        return Message.objects.filter(self.own), Message.objects.filter(self.shared)


def own_messages(account: Account) -> OwnMessages:
    # Ids instead of a join: the database can then choose between the index of all messages and that of each part.
    symbols = list(followed_symbols(account).values_list("pk", flat=True))
    return OwnMessages(Q(account=account), Q(account=None, symbol__in=symbols))
