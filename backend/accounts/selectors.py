"""Reads of users."""

from accounts.models import User


def user_by_email(email: str) -> User | None:
    return User.objects.with_email(email).first()
