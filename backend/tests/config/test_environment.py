from pathlib import Path

import pytest

from config.environment import EMBEDDED_SECRET_KEY, INTERVALS, Environment, InvalidEnvironment, read_environment
from engine import candles

NO_FILE = Path("no-such-file")


def read(**values: str) -> Environment:
    return read_environment(values, NO_FILE)


def test_nothing_has_to_be_set():
    environment = read()
    assert environment.debug
    assert environment.database is None
    assert not environment.https_only
    assert (environment.default_symbol, environment.default_interval) == ("BTCUSDT", "1h")
    assert environment.model_threshold_percent == 0.5
    assert environment.log_level == "INFO"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "ture"),
        ("DEBUG", "False # for now"),
        ("HTTPS_ONLY", "2"),
        ("BEHIND_TLS_PROXY", "maybe"),
        ("HSTS_SECONDS", "-1"),
        ("HSTS_SECONDS", "1e3"),
        ("LOG_LEVEL", "info"),
        ("LOG_LEVEL", "LOUD"),
        ("DB_PORT", "0"),
        ("DB_PORT", "65536"),
        ("DB_PORT", "abc"),
        ("DB_PORT", "٣"),
        ("DEFAULT_SYMBOL", "BTC USDT"),
        ("DEFAULT_SYMBOL", "btcusdt"),
        ("DEFAULT_INTERVAL", "7m"),
        ("BINANCE_BASE_URL", "api.binance.com"),
        ("BINANCE_BASE_URL", "https://api.binance.com/api/v3"),
        ("BYBIT_BASE_URL", "ftp://api.bybit.com"),
        ("BYBIT_STREAM_URL", "https://stream.bybit.com"),
        ("BYBIT_STREAM_URL", "wss://stream.bybit.com/v5/public/spot"),
        ("MARKET_SOURCES", "Live"),
        ("MARKET_SOURCES", "off"),
        ("MODEL_THRESHOLD_PERCENT", "nan"),
        ("MODEL_THRESHOLD_PERCENT", "inf"),
        ("MODEL_THRESHOLD_PERCENT", "0"),
        ("MODEL_THRESHOLD_PERCENT", "-0.5"),
        ("MODEL_THRESHOLD_PERCENT", "half"),
        ("JWT_ACCESS_MINUTES", "0"),
        ("JWT_ACCESS_MINUTES", "1441"),
        ("JWT_REFRESH_DAYS", "a week"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost:6379/0"),
        ("REDIS_URL", "redis:///0"),
        ("REDIS_URL", "redis://localhost:6379/zero"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("CORS_ALLOWED_ORIGINS", "app.example.com"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example, https://b.example/"),
        ("DATABASE_URL", "mysql://host/name"),
        ("DATABASE_URL", "photon"),
        ("DATABASE_URL", "postgres://host:5432/"),
        ("DATABASE_URL", "postgres://host:abc/photon"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(name: str, value: str):
    with pytest.raises(InvalidEnvironment, match=f"^{name} must [^\n]+$"):
        read(**{"DB_NAME": "photon", name: value})


@pytest.mark.parametrize("value", ["", "  ", EMBEDDED_SECRET_KEY, "your-secret-key"])
def test_debug_off_needs_a_secret_of_its_own(value: str):
    with pytest.raises(InvalidEnvironment, match="SECRET_KEY must be set"):
        read(DEBUG="False", SECRET_KEY=value)


def test_debug_off_turns_https_on_unless_told_otherwise():
    assert read(DEBUG="0", SECRET_KEY="mine").https_only
    assert not read(DEBUG="0", SECRET_KEY="mine", HTTPS_ONLY="no").https_only


def test_a_secret_that_starts_with_a_dollar_sign_is_itself():
    assert read(SECRET_KEY="$HOME", HOME="/nowhere").secret_key == "$HOME"


def test_an_empty_value_counts_as_unset():
    assert read(DATABASE_URL="", DB_NAME="", DB_PASSWORD="", DEBUG="").database is None


def test_the_parts_select_postgresql():
    database = read(DB_NAME="photon", DB_HOST="db", DB_PORT="5433", DB_USER="ada", DB_PASSWORD="p$w").database
    assert database == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "photon",
        "USER": "ada",
        "PASSWORD": "p$w",
        "HOST": "db",
        "PORT": 5433,
    }


def test_parts_without_a_name_are_refused():
    with pytest.raises(InvalidEnvironment, match="DB_NAME must be set, because DB_HOST is"):
        read(DB_HOST="db")


def test_the_address_wins_over_the_parts():
    database = read(DATABASE_URL="postgres://ada:p%40w@db:5433/photon", DB_NAME="other").database
    assert database is not None
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["NAME"], database["PASSWORD"], database["PORT"]) == ("photon", "p@w", 5433)


def test_a_bad_address_does_not_show_its_password():
    with pytest.raises(InvalidEnvironment) as error:
        read(DATABASE_URL="postgres://ada:sesame@db:abc/photon")
    assert "sesame" not in str(error.value)


def test_the_environment_wins_over_the_file(tmp_path: Path):
    env_file = tmp_path / ".env"
    env_file.write_text("# comment\nDEFAULT_SYMBOL=ETHUSDT\nexport DEFAULT_INTERVAL='4h'\n")
    environment = read_environment({"DEFAULT_SYMBOL": "AAPL"}, env_file)
    assert (environment.default_symbol, environment.default_interval) == ("AAPL", "4h")


def test_the_intervals_are_those_of_the_engine():
    assert set(INTERVALS) == set(candles.INTERVALS)


def test_the_parts_of_the_api_have_defaults():
    environment = read()
    assert (environment.jwt_access_minutes, environment.jwt_refresh_days) == (30, 7)
    assert (environment.redis_url, environment.metrics_token, environment.cors_allowed_origins) == ("", "", [])


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "redis://localhost",
        "rediss://user:p@ss@cache.example.com:6380/1?ssl_cert_reqs=required",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_the_broker_is_an_address_of_redis(url: str):
    assert read(REDIS_URL=url).redis_url == url


def test_a_bad_broker_address_does_not_show_its_password():
    with pytest.raises(InvalidEnvironment) as caught:
        read(REDIS_URL="redis//:hunter2@localhost")
    assert "hunter2" not in str(caught.value)


def test_origins_are_a_list():
    origins = ["https://app.example.com", "http://localhost:5173"]
    assert read(CORS_ALLOWED_ORIGINS=" , ".join(origins)).cors_allowed_origins == origins
