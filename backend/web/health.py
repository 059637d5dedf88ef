"""Liveness and readiness. Apps register their readiness checks with `add_check`."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


@dataclass(frozen=True)
class Finding:
    """The result of a check. `detail` is public: no hosts, no passwords."""

    ok: bool
    detail: str = ""
    age_seconds: float | None = None


Check = Callable[[], Finding]
_checks: dict[str, Check] = {}


def add_check(name: str, check: Check) -> None:
    """`check` must return within a few seconds, and report an outage in its Finding instead of raising."""
    _checks[name] = check


def findings() -> dict[str, Finding]:
    return {name: check() for name, check in _checks.items()}


class AliveSerializer(serializers.Serializer[Any]):
    status = serializers.CharField()


class FindingSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    detail = serializers.CharField(required=False)
    age_seconds = serializers.FloatField(required=False)


class ReadySerializer(AliveSerializer):
    checks = serializers.DictField(child=FindingSerializer())


class NotReadySerializer(ReadySerializer):
    detail = serializers.CharField()
    code = serializers.CharField()


class ProbeView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []


class AliveView(ProbeView):
    @extend_schema(responses=AliveSerializer, tags=["health"])
    def get(self, request: Request) -> Response:
        """The process responds; nothing else is checked."""
        return Response({"status": "ok"})


class ReadyView(ProbeView):
    @extend_schema(responses={200: ReadySerializer, 503: NotReadySerializer}, tags=["health"])
    def get(self, request: Request) -> Response:
        """All required services are available; 503 names those that are not."""
        found = findings()
        failed = [name for name, finding in found.items() if not finding.ok]
        checks = {name: _shown(finding) for name, finding in found.items()}
        if not failed:
            return Response({"status": "ready", "checks": checks})
        error = {"detail": f"Not ready: {', '.join(failed)}.", "code": "not_ready"}
        return Response({**error, "status": "not_ready", "checks": checks}, status=503)


def _shown(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in asdict(finding).items() if value not in ("", None)}
