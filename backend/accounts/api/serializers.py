"""Request and response bodies of /api/auth/."""

from typing import Any

from rest_framework import serializers

from accounts.models import User

LONGEST_PASSWORD = 1024  # bounds the time of hashing
LONGEST_TOKEN = 4096


class PasswordField(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, write_only=True, max_length=LONGEST_PASSWORD, **options)


class UserSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "email", "full_name", "date_joined"]
        read_only_fields = ["email"]


class RegistrationSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    password = PasswordField()
    full_name = serializers.CharField(max_length=150, required=False, allow_blank=True)


class CredentialsSerializer(serializers.Serializer[Any]):
    # Not an EmailField: an e-mail that is stored must be able to log in.
    email = serializers.CharField(max_length=254)
    password = PasswordField()


class RefreshTokenSerializer(serializers.Serializer[Any]):
    refresh = serializers.CharField(max_length=LONGEST_TOKEN)


class TokensSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()


class SessionSerializer(TokensSerializer):
    user = UserSerializer()


class PasswordChangeSerializer(serializers.Serializer[Any]):
    old_password = PasswordField()
    new_password = PasswordField()
