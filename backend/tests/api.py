"""Small steps for tests of the API: users, clients that are logged in, and what an answer says."""

from itertools import count
from typing import Any

from rest_framework.response import Response
from rest_framework.test import APIClient

from accounts.models import User
from accounts.tokens import issue_tokens

PASSWORD = "correct horse battery"
_numbers = count(1)


def make_user(email: str = "", **fields: Any) -> User:
    return User.objects.create_user(email or f"user{next(_numbers)}@example.com", PASSWORD, **fields)


def api_client(user: User | None = None) -> APIClient:
    """A client that sends and expects JSON; with a user, it carries a real access token of theirs."""
    client = APIClient()
    return with_token(client, issue_tokens(user).access) if user else client


def with_token(client: APIClient, access: str) -> APIClient:
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


def register(email: str = "ada@example.com", password: str = PASSWORD, **fields: Any) -> Response:
    body = {"email": email, "password": password, **fields}
    return APIClient().post("/api/auth/register/", body)


def log_in(email: str, password: str = PASSWORD, **headers: Any) -> Response:
    return APIClient().post("/api/auth/login/", {"email": email, "password": password}, **headers)


def refresh(token: str) -> Response:
    return APIClient().post("/api/auth/refresh/", {"refresh": token})


def problem(response: Response) -> tuple[int, str]:
    """The status and the code of an error, after a look at its shape."""
    body = response.json()
    assert set(body) <= {"detail", "code", "fields"}
    assert body["detail"]
    return response.status_code, body["code"]
