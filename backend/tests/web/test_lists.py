"""Pages and filters, on a list of users."""

from datetime import UTC, datetime, timedelta

import pytest
from django_filters import rest_framework as filters
from rest_framework import generics
from rest_framework.test import APIRequestFactory, force_authenticate

from accounts.api.serializers import UserSerializer
from accounts.models import User
from tests.api import make_user, problem
from web.filters import IdFilter, SinceFilter, UntilFilter

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]

BAD_TIMES = [
    "yesterday",
    "2026-13-01",
    "2026-02-30",
    "01.11.2026",
    "1762000000",
    "NaN",
    "9" * 5000,
    "\0",
    "2026-11-01\n-",
]
BAD_TIMES += ["2026-11-01T25:00:00Z", "2026-11-01T00:00:00 02:00"]
BAD_TIMES += ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]  # times that UTC does not have
FIRST_DAY = datetime(2026, 11, 1, tzinfo=UTC)


class UserFilters(filters.FilterSet):
    from_date = SinceFilter("date_joined")
    to_date = UntilFilter("date_joined")
    user_id = IdFilter("pk")
    email = filters.CharFilter("email")
    active = filters.ChoiceFilter(field_name="is_active", choices=[("1", "yes"), ("0", "no")])


class UserList(generics.ListAPIView):
    queryset = User.objects.order_by("pk")
    serializer_class = UserSerializer
    filterset_class = UserFilters


def ask(**parameters):
    request = APIRequestFactory().get("/users/", parameters)
    force_authenticate(request, User(email="reader@example.com"))
    answer = UserList.as_view()(request).render()
    answer.json = lambda: answer.data
    return answer


@pytest.fixture
def users() -> list[User]:
    """Four, who joined at noon of the first four days of a month."""
    noon = FIRST_DAY + timedelta(hours=12)
    return [make_user(date_joined=noon + timedelta(days=day)) for day in range(4)]


def names(answer) -> list[str]:
    assert answer.status_code == 200, answer.data
    return [row["email"] for row in answer.data["results"]]


def test_a_page_names_its_neighbours(users: list[User]):
    body = ask(limit=2, offset=1).data
    assert list(body) == ["count", "next", "previous", "results"]
    assert body["count"] == 4
    assert [row["id"] for row in body["results"]] == [users[1].pk, users[2].pk]
    assert body["next"].endswith("/users/?limit=2&offset=3")
    assert body["previous"].endswith("/users/?limit=2")


def test_a_page_has_fifty_rows_and_two_queries(django_assert_num_queries):
    User.objects.bulk_create(User(email=f"{n}@example.com", password="!") for n in range(60))
    with django_assert_num_queries(2):
        assert len(ask().data["results"]) == 50
    assert len(ask(limit=500).data["results"]) == 60
    assert len(ask(limit="").data["results"]) == 50


def test_a_page_behind_the_end_is_empty(users: list[User]):
    assert names(ask(offset=1_000_000_000)) == []


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("value", ["-1", "x", "1.5", "1e3", "NaN", "9" * 30, "9" * 5000, "٣", "0x1", "\0", "None"])
def test_a_bad_page_is_400(name: str, value: str):
    answer = ask(**{name: value})
    assert problem(answer) == (400, "invalid")
    assert list(answer.data["fields"]) == [name]


@pytest.mark.parametrize("limit", ["0", "501"])
def test_a_limit_outside_is_refused_and_not_clamped(limit: str):
    assert ask(limit=limit).data["fields"] == {"limit": ["Enter a whole number from 1 to 500."]}


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-11-02", "2026-11-03", [1, 2]),  # a bare date includes its whole day
        ("2026-11-02T12:00:00Z", "2026-11-03T12:00:00Z", [1, 2]),
        ("2026-11-02T12:00:01", "2026-11-03T11:59:59", []),
        ("2026-11-02T14:00:00+02:00", "2026-11-02T14:00:00+02:00", [1]),
        ("", "2026-11-01", [0]),
        ("0001-01-01", "9999-12-31", [0, 1, 2, 3]),
        ("2026-11-05", "2026-11-01", []),
    ],
)
def test_a_list_can_be_cut_by_time(users: list[User], since: str, until: str, expected: list[int]):
    assert names(ask(from_date=since, to_date=until)) == [users[n].email for n in expected]


@pytest.mark.parametrize("name", ["from_date", "to_date"])
@pytest.mark.parametrize("value", BAD_TIMES)
def test_a_bad_time_is_400(name: str, value: str):
    answer = ask(**{name: value})
    assert problem(answer) == (400, "invalid")
    assert list(answer.data["fields"]) == [name]


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "NaN", "9" * 30, "9" * 5000, "1e3", "\0"])
def test_a_bad_id_is_400(value: str):
    assert list(ask(user_id=value).data["fields"]) == ["user_id"]


def test_an_id_filters(users: list[User]):
    assert names(ask(user_id=users[2].pk)) == [users[2].email]
    assert names(ask(user_id=2**63 - 1)) == []


@pytest.mark.parametrize(("name", "value"), [("active", "maybe"), ("email", "a\0b")])
def test_other_bad_values_are_400(name: str, value: str):
    assert list(ask(**{name: value}).data["fields"]) == [name]
