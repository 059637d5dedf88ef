"""Every environment variable, read once and strictly. A bad value is one line that names the variable."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environ

EMBEDDED_SECRET_KEY = "embedded-secret-key-known-to-everybody-and-refused-when-debug-is-off"  # noqa: S105
# Published in documentation: anyone could sign a session with them.
PUBLISHED_SECRET_KEYS = frozenset({EMBEDDED_SECRET_KEY, "your-secret-key", "change-me"})
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# The keys of engine.candles.INTERVALS, which imports pandas; a test compares the two.
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w")
# files: candles of ./data are replayed; auto: live where there is no file; live: live in any case.
MARKET_SOURCES = ("auto", "files", "live")
YES = frozenset({"true", "1", "yes", "on"})
NO = frozenset({"false", "0", "no", "off"})
ONE_YEAR_SECONDS = 365 * 24 * 60 * 60


class InvalidEnvironment(Exception):
    """A variable is missing or has a value that cannot be used."""


@dataclass(frozen=True)
class Environment:
    debug: bool
    secret_key: str
    allowed_hosts: list[str]
    https_only: bool
    hsts_seconds: int
    behind_tls_proxy: bool
    database: dict[str, Any] | None  # None: the embedded SQLite
    redis_url: str  # empty: no broker
    market_poll_seconds: float
    binance_base_url: str
    bybit_base_url: str
    bybit_stream_url: str
    market_sources: str
    cors_allowed_origins: list[str]
    jwt_access_minutes: int
    jwt_refresh_days: int
    metrics_token: str
    log_level: str
    default_symbol: str
    default_interval: str
    model_threshold_percent: float
    model_path: str  # empty: no copies
    compiled_dir: str  # empty: in var/


class Variables:
    """The variables as text. An empty one counts as unset, as compose files pass it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, "").strip() or default

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name, str(default)).lower()
        if value not in YES | NO:
            raise InvalidEnvironment(f"{name} must be True or False, not {value!r}")
        return value in YES

    def whole_number(self, name: str, default: int, lowest: int, highest: int) -> int:
        value = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,12}", value) or not lowest <= int(value) <= highest:
            raise InvalidEnvironment(f"{name} must be a whole number from {lowest} to {highest}, not {value!r}")
        return int(value)

    def percent(self, name: str, default: float) -> float:
        value = self.text(name, str(default))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < 100:
            raise InvalidEnvironment(f"{name} must be a number between 0 and 100, not {value!r}")
        return number

    def seconds(self, name: str, default: float, lowest: float, highest: float) -> float:
        value = self.text(name, str(default))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not lowest <= number <= highest:
            raise InvalidEnvironment(f"{name} must be seconds from {lowest:g} to {highest:g}, not {value!r}")
        return number

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise InvalidEnvironment(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def matching(self, name: str, default: str, pattern: str, wanted: str) -> str:
        value = self.text(name, default)
        if not re.fullmatch(pattern, value):
            raise InvalidEnvironment(f"{name} must be {wanted}, not {value!r}")
        return value

    def words(self, name: str) -> list[str]:
        return [word.strip() for word in self.text(name).split(",") if word.strip()]


def read_environment(values: Mapping[str, str], env_file: Path) -> Environment:
    """Parse the variables; `env_file` fills in those that `values` does not name."""
    variables = Variables(_with_env_file(values, env_file))
    debug = variables.flag("DEBUG", True)
    return Environment(
        debug=debug,
        secret_key=_secret_key(variables, debug),
        allowed_hosts=variables.words("ALLOWED_HOSTS"),
        https_only=variables.flag("HTTPS_ONLY", not debug),
        hsts_seconds=variables.whole_number("HSTS_SECONDS", ONE_YEAR_SECONDS, 0, 10 * ONE_YEAR_SECONDS),
        behind_tls_proxy=variables.flag("BEHIND_TLS_PROXY", False),
        database=_database(variables),
        redis_url=_redis_url(variables),
        market_poll_seconds=variables.seconds("MARKET_POLL_SECONDS", 5.0, 0.1, 3600.0),
        binance_base_url=_base_url(variables, "BINANCE_BASE_URL", "https://api.binance.com"),
        bybit_base_url=_base_url(variables, "BYBIT_BASE_URL", "https://api.bybit.com"),
        bybit_stream_url=_base_url(variables, "BYBIT_STREAM_URL", "wss://stream.bybit.com", scheme="ws"),
        market_sources=variables.choice("MARKET_SOURCES", "auto", MARKET_SOURCES),
        cors_allowed_origins=_origins(variables),
        jwt_access_minutes=variables.whole_number("JWT_ACCESS_MINUTES", 30, 1, 24 * 60),
        jwt_refresh_days=variables.whole_number("JWT_REFRESH_DAYS", 7, 1, 365),
        metrics_token=variables.text("METRICS_TOKEN"),
        log_level=variables.choice("LOG_LEVEL", "INFO", LOG_LEVELS),
        default_symbol=variables.matching("DEFAULT_SYMBOL", "BTCUSDT", r"[A-Z0-9.^=_-]{1,20}", "a symbol like BTCUSDT"),
        default_interval=variables.choice("DEFAULT_INTERVAL", "1h", INTERVALS),
        model_threshold_percent=variables.percent("MODEL_THRESHOLD_PERCENT", 0.5),
        model_path=variables.text("MODEL_PATH"),
        compiled_dir=variables.text("COMPILED_DIR"),
    )


def _with_env_file(values: Mapping[str, str], env_file: Path) -> Mapping[str, str]:
    class FileVariables(environ.Env):
        # A copy, so that reading the file does not change the process.
        ENVIRON: Any = dict(values)

    if env_file.is_file():
        if not os.access(env_file, os.R_OK):
            raise InvalidEnvironment(f"{env_file} cannot be read")
        FileVariables.read_env(env_file)
    # Env's own look-up would take a secret that starts with "$" for the name of another variable.
    text: Mapping[str, str] = FileVariables.ENVIRON
    return text


def _secret_key(variables: Variables, debug: bool) -> str:
    secret_key = variables.text("SECRET_KEY", EMBEDDED_SECRET_KEY)
    if not debug and secret_key in PUBLISHED_SECRET_KEYS:
        raise InvalidEnvironment("SECRET_KEY must be set to a secret of your own when DEBUG is off")
    return secret_key


def _database(variables: Variables) -> dict[str, Any] | None:
    url = variables.text("DATABASE_URL")
    if url:
        return _database_of_url(url)
    parts = [name for name in ("DB_NAME", "DB_USER", "DB_PASSWORD", "DB_HOST", "DB_PORT") if variables.text(name)]
    if not parts:
        return None
    if "DB_NAME" not in parts:
        raise InvalidEnvironment(f"DB_NAME must be set, because {parts[0]} is")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": variables.text("DB_NAME"),
        "USER": variables.text("DB_USER", "postgres"),
        "PASSWORD": variables.text("DB_PASSWORD"),
        "HOST": variables.text("DB_HOST", "localhost"),
        "PORT": variables.whole_number("DB_PORT", 5432, 1, 65535),
    }


def _database_of_url(url: str) -> dict[str, Any]:
    # The value stays out of the message: it holds the password.
    wanted = InvalidEnvironment("DATABASE_URL must look like postgres://user:password@host:5432/name")
    if not re.match(r"(postgres|postgresql|sqlite)://", url):
        raise wanted
    try:
        database: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError as error:
        raise wanted from error
    if not database["NAME"]:
        raise wanted
    return database


def _redis_url(variables: Variables) -> str:
    url = variables.text("REDIS_URL")
    if url and not re.fullmatch(r"rediss?://[^\s/]+(/[0-9]{1,3})?(\?\S*)?|unix:///\S+", url):
        # The value stays out of the message: it may hold a password.
        raise InvalidEnvironment("REDIS_URL must look like redis://localhost:6379/0")
    return url


def _base_url(variables: Variables, name: str, default: str, scheme: str = "http") -> str:
    wanted = f"an address like {default}, without a path"
    return variables.matching(name, default, rf"{scheme}s?://[a-zA-Z0-9.\[\]:-]+/?", wanted).rstrip("/")


def _origins(variables: Variables) -> list[str]:
    origins = variables.words("CORS_ALLOWED_ORIGINS")
    for origin in origins:
        if not re.fullmatch(r"https?://[a-zA-Z0-9.\[\]:-]+", origin):
            wanted = "CORS_ALLOWED_ORIGINS must list origins like https://app.example.com"
            raise InvalidEnvironment(f"{wanted}, not {origin!r}")
    return origins
