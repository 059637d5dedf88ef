import pytest

from tests.api import api_client, make_user, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quick_passwords")]

ME = "/api/auth/me/"


def test_it_shows_the_user_of_the_token_in_one_query(django_assert_num_queries):
    client = api_client(make_user("ada@example.com", full_name="Ada"))
    make_user()
    with django_assert_num_queries(1):
        body = client.get(ME).json()
    assert set(body) == {"id", "email", "full_name", "date_joined"}
    assert (body["email"], body["full_name"]) == ("ada@example.com", "Ada")
    assert body["date_joined"].endswith("Z")


def test_the_full_name_can_be_changed_and_nothing_else():
    user = make_user("ada@example.com")
    changes = {"full_name": " Ada L. ", "email": "x@example.com", "is_staff": True, "id": 99}
    answer = api_client(user).patch(ME, changes)
    assert answer.status_code == 200
    assert answer.json()["full_name"] == "Ada L."
    user.refresh_from_db()
    assert (user.email, user.full_name, user.is_staff) == ("ada@example.com", "Ada L.", False)


def test_an_empty_change_changes_nothing():
    assert api_client(make_user(full_name="Ada")).patch(ME, {}).json()["full_name"] == "Ada"


@pytest.mark.parametrize("name", ["x" * 151, None, ["Ada"], {"a": 1}, "a\0"])
def test_a_bad_name_is_refused(name):
    answer = api_client(make_user()).patch(ME, {"full_name": name})
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == ["full_name"]


@pytest.mark.parametrize("method", ["put", "post", "delete", "options"])
def test_other_methods_are_405(method: str):
    assert problem(getattr(api_client(make_user()), method)(ME)) == (405, "method_not_allowed")


def test_it_needs_a_token():
    answer = api_client().get(ME)
    assert problem(answer) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
