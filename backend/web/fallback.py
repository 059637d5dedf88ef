"""Responses to errors outside the API's views: JSON below /api/, Django's pages elsewhere."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

API_ROOT = "/api/"


def error_answer(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": code}, status=status)


@csrf_exempt
def unknown_address(request: HttpRequest) -> HttpResponse:
    """Matches the rest of /api/, which also prevents a redirect by CommonMiddleware that would drop a POST's body."""
    detail = "Not found." if request.path.endswith("/") else "Not found: addresses end in a slash."
    return error_answer(404, detail, "not_found")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return error_answer(400, "Malformed request.", "parse_error")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return error_answer(403, "You do not have permission to perform this action.", "permission_denied")
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return unknown_address(request) if _is_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return error_answer(500, "Internal error. It has been logged.", "error")
    return defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(API_ROOT)
