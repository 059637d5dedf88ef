"""Access and refresh tokens. Both carry a digest of the password's hash: a new password ends all of them at once."""

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
    """A refresh token of which only the id is stored: a stolen database must not log anybody in."""

    @classmethod
    def for_user(cls, user: Any) -> "SessionToken":
        token: SessionToken = super(BlacklistMixin, cls).for_user(user)  # past the one that stores the token
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
    """A new pair for a refresh token, which is used up by it; TokenError when it is not good (any more)."""
    token = SessionToken(refresh)
    user = _owner(token)
    with transaction.atomic():
        _use_up(token)
        return issue_tokens(user)


def revoke_token(user: User, refresh: str) -> None:
    """End one session of this user; TokenError when the token is not a good one of theirs."""
    token = SessionToken(refresh)
    if _owner(token) != user:
        raise TokenError("Token is invalid")
    _use_up(token)


def _owner(token: SessionToken) -> User:
    user = User.objects.filter(pk=token.get(api_settings.USER_ID_CLAIM), is_active=True).first()
    if user is None or token.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
        raise TokenError("Token is invalid")
    return user


def _use_up(token: SessionToken) -> None:
    # Of two uses at the same moment, the unique row lets one win.
    _, first = token.blacklist()
    if not first:
        raise TokenError("Token is blacklisted")


def forget_expired() -> int:
    """Deletes the ids of sessions that have ended by themselves, with their entries of the blacklist; how many."""
    expired = OutstandingToken.objects.filter(expires_at__lte=timezone.now()).order_by("pk")
    forgotten = 0
    # In pieces, so that nobody waits long for SQLite's only write lock.
    while keys := list(expired.values_list("pk", flat=True)[:BATCH]):
        OutstandingToken.objects.filter(pk__in=keys).delete()
        forgotten += len(keys)
    return forgotten
