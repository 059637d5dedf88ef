"""Read-only admin pages, for rows that record what happened."""

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html

# Older rows are reached by filters and by the search.
MOST_COUNTED = 10_000


class BoundedPaginator(Paginator):
    """Counts at most MOST_COUNTED rows: counting a million takes longer than the page itself."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:MOST_COUNTED].count()


class ReadOnlyAdmin(admin.ModelAdmin):
    paginator = BoundedPaginator
    show_full_result_count = False
    ordering = ("-pk",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def link(row: Model | None) -> str | None:
    """A link to the admin page of a row; None, displayed as a dash, without a row."""
    return None if row is None else format_html('<a href="{}">{}</a>', address(row), row)


def link_to(model: type[Model], key: int) -> str:
    """A link to the admin page of a row that was not loaded."""
    return format_html('<a href="{}">{} {}</a>', _page(model, "change", key), model._meta.verbose_name, key)


def address(row: Model) -> str:
    return _page(type(row), "change", row.pk)


def list_link(model: type[Model], **lookups: Any) -> str:
    """A link to the filtered list of a model; without a query."""
    names = model._meta.verbose_name_plural
    return format_html('<a href="{}?{}">{}</a>', _page(model, "changelist"), urlencode(lookups), names)


def pretty(value: Any) -> str:
    """Indented JSON."""
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


def _page(model: type[Model], kind: str, *arguments: int) -> str:
    return str(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=arguments))
