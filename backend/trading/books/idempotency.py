"""A request that says its key twice is carried out once, and answered twice with the same words."""

import json
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from trading.errors import KeyReused
from trading.models import Account, IdempotentAnswer


@dataclass(frozen=True)
class Answer:
    status: int
    body: str  # JSON, kept as it was written: every digit comes back

    @property
    def data(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)


@dataclass(frozen=True)
class Once:
    """A request under a key. Without a key nothing is remembered, and every request is a new one."""

    account: Account
    key: str
    request: str

    @property
    def fingerprint(self) -> str:
        return sha256(self.request.encode()).hexdigest()

    def answer(self) -> Answer | None:
        """What the request was answered with before. Raises KeyReused."""
        known = IdempotentAnswer.objects.filter(account=self.account.pk, key=self.key).first() if self.key else None
        if known is None:
            return None
        if known.fingerprint != self.fingerprint:
            raise KeyReused(f"The key {self.key} was used for another request.")
        return Answer(known.status, known.body)

    def keep(self, answer: Answer) -> None:
        """In the transaction of what the answer tells, so that there is never one without the other."""
        if self.key:
            IdempotentAnswer.objects.create(
                account=self.account,
                key=self.key,
                fingerprint=self.fingerprint,
                status=answer.status,
                body=answer.body,
            )
