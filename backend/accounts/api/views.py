"""/api/auth/: accounts, sessions and passwords."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError

from accounts.api.serializers import (
    CredentialsSerializer,
    PasswordChangeSerializer,
    RefreshSerializer,
    RegistrationSerializer,
    SessionSerializer,
    TokensSerializer,
    UserSerializer,
)
from accounts.api.throttles import LoginNameThrottle
from accounts.models import User
from accounts.services import change_password, log_in, register_user, rename_user
from accounts.tokens import issue_tokens, renew_tokens, revoke_token

NO_SUCH_LOGIN = "There is no active account with this e-mail and password."


def checked(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def session(user: User) -> dict[str, Any]:
    return {"user": UserSerializer(user).data, **issue_tokens(user)._asdict()}


class OpenToAll(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    def get_authenticate_header(self, request: Request) -> str:
        # Without authentication classes there is no header, and REST framework turns a 401 into a 403.
        return 'Bearer realm="api"'


class RegisterView(OpenToAll):
    throttle_scope = "register"

    @extend_schema(request=RegistrationSerializer, responses={201: SessionSerializer})
    def post(self, request: Request) -> Response:
        """Create an account and log in to it. E-mails are unique regardless of case."""
        user = register_user(**checked(RegistrationSerializer(data=request.data)))
        return Response(session(user), status=201)


class LoginView(OpenToAll):
    throttle_scope = "login"
    error_statuses = (401,)

    @extend_schema(request=CredentialsSerializer, responses=SessionSerializer)
    def post(self, request: Request) -> Response:
        """Exchange e-mail and password for an access and a refresh token. Repeated failures lock out for a while."""
        # The plain request: axes leaves its verdict there, and its middleware turns it into a 429.
        user = log_in(request._request, **checked(CredentialsSerializer(data=request.data)))
        if user is None:
            raise AuthenticationFailed(NO_SUCH_LOGIN, "no_active_account")
        return Response(session(user))

    def get_throttles(self) -> list[Any]:
        return [*super().get_throttles(), LoginNameThrottle()]


class RefreshView(OpenToAll):
    throttle_scope = "refresh"
    error_statuses = (401,)

    @extend_schema(request=RefreshSerializer, responses=TokensSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair. It works once: keep the new one."""
        refresh = checked(RefreshSerializer(data=request.data))["refresh"]
        try:
            return Response(renew_tokens(refresh)._asdict())
        except TokenError as error:
            raise InvalidToken(str(error)) from error


class LogoutView(APIView):
    @extend_schema(request=RefreshSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """End the session of this refresh token. Its access token ends by itself, within minutes."""
        refresh = checked(RefreshSerializer(data=request.data))["refresh"]
        try:
            revoke_token(request.user, refresh)
        except TokenError as error:
            raise ValidationError({"refresh": [str(error)]}) from error
        return Response(status=204)


class MeView(APIView):
    @extend_schema(responses=UserSerializer)
    def get(self, request: Request) -> Response:
        """The user of the access token."""
        return Response(UserSerializer(request.user).data)

    @extend_schema(request=UserSerializer, responses=UserSerializer)
    def patch(self, request: Request) -> Response:
        """Change the full name."""
        changes = checked(UserSerializer(request.user, data=request.data, partial=True))
        if "full_name" in changes:
            rename_user(request.user, changes["full_name"])
        return Response(UserSerializer(request.user).data)


class PasswordView(APIView):
    throttle_scope = "password"

    @extend_schema(request=PasswordChangeSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Change the password. All access and refresh tokens of the user end: log in again."""
        change_password(request.user, **checked(PasswordChangeSerializer(data=request.data)))
        return Response(status=204)
