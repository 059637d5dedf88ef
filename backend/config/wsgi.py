"""The WSGI entry point: `config.wsgi:application`."""

import os
from collections.abc import Callable, Iterable
from email.message import Message
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django_application = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    # Django decodes the query string with the charset of the body, before any view or middleware: rot13 and zlib are
    # codecs but no charsets, and would cause a 500.
    if not _is_readable(environ.get("CONTENT_TYPE", "")):
        start_response("415 Unsupported Media Type", [("Content-Type", "application/json")])
        return [b'{"detail": "Unknown charset in Content-Type.", "code": "unsupported_media_type"}']
    return django_application(environ, start_response)


def _is_readable(content_type: str) -> bool:
    header = Message()
    header["Content-Type"] = content_type.replace("\r", "").replace("\n", "")
    charset = header.get_param("charset", "utf-8")
    try:
        "".encode(str(charset))
    except (LookupError, UnicodeError):
        return False
    return True
