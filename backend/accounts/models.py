"""Users, who log in with their e-mail address."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower, Trim
from django.utils import timezone


def tidy_email(email: str) -> str:
    """Trimmed, with the domain in lower case; the part before the @ keeps the user's spelling."""
    return BaseUserManager.normalize_email(email.strip())


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        if not email.strip():
            raise ValueError("a user needs an e-mail address")
        user = self.model(email=tidy_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, **{**fields, "is_staff": True, "is_superuser": True})

    def with_email(self, email: str) -> models.QuerySet["User"]:
        # Lower() on both sides and not iexact, which PostgreSQL runs as UPPER and without the unique index.
        return self.alias(lower_email=Lower("email")).filter(lower_email=Lower(models.Value(email.strip())))

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.with_email(email or "").get()


class User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(
        "e-mail", unique=True, error_messages={"unique": "A user with this e-mail already exists."}
    )
    full_name = models.CharField(max_length=150, blank=True)
    is_staff = models.BooleanField("may use the admin", default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="accounts_user_email_unique_in_any_case",
                violation_error_message="A user with this e-mail already exists.",
            ),
            models.CheckConstraint(condition=models.Q(email=Trim("email")), name="accounts_user_email_is_trimmed"),
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = tidy_email(self.email)


def user_by_email(email: str) -> User | None:
    """In any case."""
    return User.objects.with_email(email).first()
