"""Repeated idempotency keys return the stored response."""

import json
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from trading.errors import KeyReused
from trading.models import Account, IdempotentAnswer


@dataclass(frozen=True)
class StoredResponse:
    status: int
    body: str  # JSON, kept as it was written: every digit comes back

    @property
    def data(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)


@dataclass(frozen=True)
class IdempotentRequest:
    """A request under a key. Without a key nothing is stored, and every request is a new one."""

    account: Account
    key: str
    request: str

    @property
    def fingerprint(self) -> str:
        return sha256(self.request.encode()).hexdigest()

    def stored_response(self) -> StoredResponse | None:
        """The response to an earlier request of the key. Raises KeyReused."""
        known = IdempotentAnswer.objects.filter(account=self.account.pk, key=self.key).first() if self.key else None
        if known is None:
            return None
        if known.fingerprint != self.fingerprint:
            raise KeyReused(f"The key {self.key} was used for another request.")
        return StoredResponse(known.status, known.body)

    def keep(self, response: StoredResponse) -> None:
        """In the transaction of the order, so that neither is stored without the other."""
        if self.key:
            IdempotentAnswer.objects.create(
                account=self.account,
                key=self.key,
                fingerprint=self.fingerprint,
                status=response.status,
                body=response.body,
            )
