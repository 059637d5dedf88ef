"""Writes to users, and the check of their credentials.

Other apps complete a new user (paper account, settings, watch list) on Django's `post_save` of User with
`created=True` and not `raw`. API, admin and createsuperuser all send it, and register_user sends it inside its
transaction: if a receiver fails, no user is created.
"""

from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from accounts.models import User, tidy_email, user_by_email


def register_user(email: str, password: str, full_name: str = "") -> User:
    """Create a user. Raises ValidationError with messages by field."""
    user = User(email=tidy_email(email), full_name=full_name)
    _check_password(password, user, "password")
    # Before the transaction: hashing takes 50 ms, too long to hold SQLite's write lock.
    user.set_password(password)
    user.full_clean(validate_unique=False, validate_constraints=False)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:
        # The constraint decides, no query before it: concurrent registrations get the same answers as sequential ones.
        if user_by_email(user.email):
            raise ValidationError({"email": "A user with this e-mail already exists."}) from None
        raise
    return user


def log_in(request: HttpRequest, email: str, password: str) -> User | None:
    """None for a wrong password, an unknown e-mail and an inactive user, after the same time."""
    user = authenticate(request, username=email, password=password)
    if not isinstance(user, User):
        return None
    user_logged_in.send(sender=User, request=request, user=user)
    return user


def change_password(user: User, old_password: str, new_password: str) -> None:
    """Set a new password, which revokes all tokens of the user. Raises ValidationError with messages by field."""
    if not user.check_password(old_password):
        raise ValidationError({"old_password": "This is not your password."})
    _check_password(new_password, user, "new_password")
    user.set_password(new_password)
    user.save(update_fields=["password"])


def rename_user(user: User, full_name: str) -> None:
    user.full_name = full_name
    user.save(update_fields=["full_name"])


def _check_password(password: str, user: User, field: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({field: error.error_list}) from error
