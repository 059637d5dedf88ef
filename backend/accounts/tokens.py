"""Access and refresh tokens. Both carry a digest of the password's hash: a new password revokes all of them."""

from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import BlacklistMixin, RefreshToken
from rest_framework_simplejwt.utils import datetime_from_epoch, get_md5_hash_password

from accounts.models import User

BATCH = 1000


class Tokens(NamedTuple):
    access: str
    refresh: str


class SessionToken(RefreshToken):
    """A refresh token of which only the id is stored: a stolen database contains no usable token."""

    @classmethod
    def for_user(cls, user: Any) -> "SessionToken":
        token: SessionToken = super(BlacklistMixin, cls).for_user(user)  # skips the method that stores the token
        OutstandingToken.objects.create(
            user=user,
            jti=token[api_settings.JTI_CLAIM],
            token="",
            created_at=token.current_time,
            expires_at=datetime_from_epoch(token["exp"]),
        )
        return token


def issue_tokens(user: User) -> Tokens:
    refresh = SessionToken.for_user(user)
    return Tokens(access=str(refresh.access_token), refresh=str(refresh))


def renew_tokens(refresh: str) -> Tokens:
    """Exchange a refresh token, which is revoked, for a new pair. Raises TokenError when it is not valid."""
    token = SessionToken(refresh)
    user = _owner(token)
    with transaction.atomic():
        _blacklist(token)
        return issue_tokens(user)


def revoke_token(user: User, refresh: str) -> None:
    """Revoke a refresh token of this user. Raises TokenError when it is not valid or not theirs."""
    token = SessionToken(refresh)
    if _owner(token) != user:
        raise TokenError("Token is invalid")
    _blacklist(token)


def _owner(token: SessionToken) -> User:
    user = User.objects.filter(pk=token.get(api_settings.USER_ID_CLAIM), is_active=True).first()
    if user is None or token.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
        raise TokenError("Token is invalid")
    return user


def _blacklist(token: SessionToken) -> None:
    # The unique row lets only one of two concurrent uses succeed.
    _, first = token.blacklist()
    if not first:
        raise TokenError("Token is blacklisted")


def forget_expired() -> int:
    """Delete expired tokens and their blacklist entries; the number deleted."""
    expired = OutstandingToken.objects.filter(expires_at__lte=timezone.now()).order_by("pk")
    forgotten = 0
    # In batches: SQLite has one write lock.
    while keys := list(expired.values_list("pk", flat=True)[:BATCH]):
        OutstandingToken.objects.filter(pk__in=keys).delete()
        forgotten += len(keys)
    return forgotten
