"""List filters by query parameters. An invalid value is a 400 that names the parameter."""

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_date
from django_filters import rest_framework as filters

LARGEST_ID = 2**63 - 1
# Without a percent sign, which django-filter would interpolate.
NOT_A_TIME = "Enter a date or a time of ISO 8601, like 2026-11-01 or 2026-11-01T09:30:00Z (a + has to be encoded)."


class MomentField(forms.Field):
    """ISO 8601 to an aware datetime in UTC; the default zone is UTC, and a bare date means the time `of_day`."""

    def __init__(self, *, of_day: time = time.min, **options: Any) -> None:
        super().__init__(**options)
        self.of_day = of_day

    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        try:
            return self._moment(str(value).strip())
        # OverflowError: 0001-01-01T00:00+01:00 is before the first UTC datetime.
        except (ValueError, OverflowError) as error:
            raise ValidationError(NOT_A_TIME, code="invalid") from error

    def _moment(self, text: str) -> datetime:
        moment = datetime.combine(day, self.of_day) if (day := parse_date(text)) else datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class SinceFilter(filters.IsoDateTimeFilter):
    """At or after the moment: `from_date = SinceFilter("created_at")`."""

    field_class = MomentField

    def __init__(self, field_name: str, **options: Any) -> None:
        super().__init__(field_name, lookup_expr="gte", **options)


class UntilFilter(filters.IsoDateTimeFilter):
    """At or before the moment; a bare date includes its whole day: `to_date = UntilFilter("created_at")`."""

    field_class = MomentField

    def __init__(self, field_name: str, **options: Any) -> None:
        super().__init__(field_name, lookup_expr="lte", of_day=time.max, **options)


class IdFilter(filters.NumberFilter):
    field_class = forms.IntegerField

    def __init__(self, field_name: str, **options: Any) -> None:
        super().__init__(field_name, min_value=1, max_value=LARGEST_ID, **options)

    def get_max_validator(self) -> None:
        """None: max_value sets the limit."""
