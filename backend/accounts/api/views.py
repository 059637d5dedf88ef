"""/api/auth/: accounts, sessions and passwords."""

from hashlib import sha256
from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError

from accounts.api.serializers import (
    CredentialsSerializer,
    PasswordChangeSerializer,
    RefreshTokenSerializer,
    RegistrationSerializer,
    SessionSerializer,
    TokensSerializer,
    UserSerializer,
)
from accounts.lockout import canonical_email
from accounts.models import User
from accounts.services import change_password, log_in, register_user, rename_user
from accounts.tokens import issue_tokens, renew_tokens, revoke_token
from web.fields import checked
from web.throttling import FailOpenThrottle

NO_SUCH_LOGIN = "There is no active account with this e-mail and password."


def user_of(request: Request) -> User:
    """The user of the access token; only for views that require one."""
    return cast(User, request.user)


def session(user: User) -> dict[str, Any]:
    return {"user": UserSerializer(user).data, **issue_tokens(user)._asdict()}


class PublicView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    def get_authenticate_header(self, request: Request) -> str:
        # Without authentication classes there is no header, and REST framework turns a 401 into a 403.
        return 'Bearer realm="api"'


class LoginNameThrottle(FailOpenThrottle):
    """Limits the attempts on one account from all addresses together."""

    scope = "login-name"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        email = request.data.get("email") if isinstance(request.data, dict) else None
        if not isinstance(email, str) or "\0" in email:
            return None  # the serializer refuses it
        return f"throttle_{self.scope}_{sha256(canonical_email(email).encode()).hexdigest()}"


class RegisterView(PublicView):
    throttle_scope = "register"

    @extend_schema(request=RegistrationSerializer, responses={201: SessionSerializer})
    def post(self, request: Request) -> Response:
        """Create an account and log in. E-mails are unique regardless of case."""
        user = register_user(**checked(RegistrationSerializer(data=request.data)))
        return Response(session(user), status=201)


class LoginView(PublicView):
    throttle_scope = "login"
    error_statuses = (401,)

    @extend_schema(request=CredentialsSerializer, responses=SessionSerializer)
    def post(self, request: Request) -> Response:
        """Exchange e-mail and password for an access and a refresh token. Repeated failures lock the account."""
        # The Django request: axes marks it as locked out, and its middleware answers 429.
        user = log_in(request._request, **checked(CredentialsSerializer(data=request.data)))
        if user is None:
            raise AuthenticationFailed(NO_SUCH_LOGIN, "no_active_account")
        return Response(session(user))

    def get_throttles(self) -> list[Any]:
        return [*super().get_throttles(), LoginNameThrottle()]


class RefreshTokenView(PublicView):
    throttle_scope = "refresh"
    error_statuses = (401,)

    @extend_schema(request=RefreshTokenSerializer, responses=TokensSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair. Each refresh token is valid once."""
        refresh = checked(RefreshTokenSerializer(data=request.data))["refresh"]
        try:
            return Response(renew_tokens(refresh)._asdict())
        except TokenError as error:
            raise InvalidToken(str(error)) from error


class LogoutView(APIView):
    @extend_schema(request=RefreshTokenSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Revoke this refresh token. Its access token expires within minutes."""
        refresh = checked(RefreshTokenSerializer(data=request.data))["refresh"]
        try:
            revoke_token(user_of(request), refresh)
        except TokenError as error:
            raise ValidationError({"refresh": [str(error)]}) from error
        return Response(status=204)


class MeView(APIView):
    @extend_schema(responses=UserSerializer)
    def get(self, request: Request) -> Response:
        """The user of the access token."""
        return Response(UserSerializer(user_of(request)).data)

    @extend_schema(request=UserSerializer, responses=UserSerializer)
    def patch(self, request: Request) -> Response:
        """Change the full name."""
        changes = checked(UserSerializer(user_of(request), data=request.data, partial=True))
        if "full_name" in changes:
            rename_user(user_of(request), changes["full_name"])
        return Response(UserSerializer(user_of(request)).data)


class PasswordView(APIView):
    throttle_scope = "password"

    @extend_schema(request=PasswordChangeSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Change the password. Revokes all access and refresh tokens of the user."""
        change_password(user_of(request), **checked(PasswordChangeSerializer(data=request.data)))
        return Response(status=204)
