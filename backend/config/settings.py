"""Django's settings. Values that differ between machines come from config.environment."""

import os
import sys
from datetime import timedelta
from pathlib import Path

from config.environment import read_environment

BACKEND_DIR = Path(__file__).resolve().parent.parent
PROJECT_DIR = BACKEND_DIR.parent
VAR_DIR = PROJECT_DIR / "var"
ENVIRONMENT = read_environment(os.environ, BACKEND_DIR / ".env")

DEBUG = ENVIRONMENT.debug
SECRET_KEY = ENVIRONMENT.secret_key
ALLOWED_HOSTS = ENVIRONMENT.allowed_hosts

PROJECT_APPS = ["accounts", "market", "learning", "trading", "backtests", "dashboard"]
INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # without autodiscover: config.urls does it
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "corsheaders",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "config",
    *PROJECT_APPS,
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
# Served from inside the packages as well, so that the embedded site needs no collectstatic.
WHITENOISE_USE_FINDERS = True

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": ENVIRONMENT.database
    or {"ENGINE": "django.db.backends.sqlite3", "NAME": str(VAR_DIR / "photon.sqlite3")},
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE takes the write lock at the start: a transaction that reads first and then writes cannot be refused.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
    # Those of `database.rows`, from the fourth time on; the ORM's own are never prepared.
    DATABASES["default"]["OPTIONS"].setdefault("prepare_threshold", 3)
    # Left to itself, PostgreSQL goes through new tables as if each page that an index leads to were sought on a disk.
    DATABASES["default"]["OPTIONS"].setdefault("options", "-c random_page_cost=1.1")
STATIC_ROOT.mkdir(parents=True, exist_ok=True)

REDIS_URL = ENVIRONMENT.redis_url
# The cache holds the counts of throttles, which the processes must share. Without Redis they are files and not rows:
# counting a read in SQLite would take the only write lock, which belongs to the trades.
if REDIS_URL:
    CACHES: dict[str, dict[str, object]] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "photon",
            "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
        },
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(VAR_DIR / "cache"),
            "OPTIONS": {"MAX_ENTRIES": 5000},
        },
    }

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Five failures lock out an account for the address they came from, and not for all: others could lock out its owner.
AXES_FAILURE_LIMIT = 5
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_USERNAME_CALLABLE = "accounts.lockout.login_name"
AXES_CLIENT_IP_CALLABLE = "web.throttling.client_address"
AXES_LOCKOUT_CALLABLE = "accounts.lockout.locked_out"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["web.json.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["web.json.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "web.json.LenientNegotiation",
    "DEFAULT_PAGINATION_CLASS": "web.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "web.schema.ApiSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "web.errors.exception_handler",
    "COERCE_DECIMAL_TO_STRING": False,
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    # 0 ignores X-Forwarded-For: any client can send one.
    "NUM_PROXIES": 1 if ENVIRONMENT.behind_tls_proxy else 0,
    "DEFAULT_THROTTLE_CLASSES": ["web.throttling.UserThrottle", "web.throttling.ScopedThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "user": "600/min",
        "register": "20/hour",
        "login": "20/min",
        "login-name": "120/hour",
        "refresh": "60/min",
        "password": "10/hour",
        "agents": "120/min",
    },
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=ENVIRONMENT.jwt_access_minutes),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=ENVIRONMENT.jwt_refresh_days),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    # Tokens are invalid after a change of the password; it costs nothing, because the user is loaded anyway.
    "CHECK_REVOKE_TOKEN": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Photon",
    "DESCRIPTION": "Three agents that trade by messages. Times are UTC; money, prices and quantities are JSON numbers.",
    "VERSION": "1.0.0",
    "SCHEMA_PATH_PREFIX": "/api/(trading/)?",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_INCLUDE_SCHEMA": False,
    # Choices stay where they are used: the usual hook makes components of them and cannot name two of one key.
    "POSTPROCESSING_HOOKS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": True},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
CORS_ALLOWED_ORIGINS = ENVIRONMENT.cors_allowed_origins
CORS_URLS_REGEX = "^/api/"
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key"]
CORS_EXPOSE_HEADERS = ["Retry-After"]
METRICS_TOKEN = ENVIRONMENT.metrics_token

# Probes and Prometheus ask by plain http from inside.
SECURE_REDIRECT_EXEMPT = ["^api/health/", "^metrics$"]
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.https_only
SECURE_HSTS_SECONDS = ENVIRONMENT.hsts_seconds if ENVIRONMENT.https_only else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
if ENVIRONMENT.behind_tls_proxy:
    # Only behind a proxy that sets this header itself; otherwise any client could claim to be on TLS.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# Everything to stderr: commands keep stdout for their result.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": ENVIRONMENT.log_level},
    "loggers": {
        # Django's own handler would print each of its lines a second time.
        "django": {"handlers": []},
        "axes": {"level": "WARNING"},
        # It logs that something is retried, and not what. The caller logs a final failure.
        "stamina": {"level": "ERROR"},
    },
}

DEFAULT_SYMBOL = ENVIRONMENT.default_symbol
DEFAULT_INTERVAL = ENVIRONMENT.default_interval
BINANCE_BASE_URL = ENVIRONMENT.binance_base_url
BYBIT_BASE_URL = ENVIRONMENT.bybit_base_url
BYBIT_STREAM_URL = ENVIRONMENT.bybit_stream_url
MARKET_SOURCES = ENVIRONMENT.market_sources
MARKET_POLL_SECONDS = ENVIRONMENT.market_poll_seconds
MODEL_THRESHOLD_PERCENT = ENVIRONMENT.model_threshold_percent
MODEL_PATH = ENVIRONMENT.model_path
# Machine code of the loops over long histories (backtests.compiled).
COMPILED_DIR = ENVIRONMENT.compiled_dir or VAR_DIR / "compiled"

LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "log-in", "status", "status"
# The account that visitors see without a login; set by `up` only (dashboard.views.account_for).
OPEN_ACCOUNT_ID: int | None = None

# The broker only wakes workers: a task may run twice, late or never, and the work itself is stored in the database.
CELERY_BROKER_URL = REDIS_URL or "redis://localhost:6379/0"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 10}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SOFT_TIME_LIMIT, CELERY_TASK_TIME_LIMIT = 50, 60
CELERY_TASK_DEFAULT_QUEUE = "market"
CELERY_TASK_ROUTES = {
    "trading.runtime.tasks.decide": {"queue": "decisions"},
    "trading.runtime.tasks.execute": {"queue": "execution"},
    "trading.runtime.tasks.train_model": {"queue": "learning"},
    "trading.runtime.tasks.train_requested_models": {"queue": "learning"},
    "trading.runtime.tasks.train_challengers": {"queue": "learning"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# config.celery closes them.
CELERY_DB_REUSE_MAX = sys.maxsize
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
# Each entry expires before the next one of its kind, so that none pile up during an outage.
_SWEEP_SECONDS = 2.0
CELERY_BEAT_SCHEDULE = {
    name: {"task": f"trading.runtime.tasks.{name}", "schedule": seconds, "options": {"expires": max(seconds, 1.0)}}
    for name, seconds in {
        "watch_markets": ENVIRONMENT.market_poll_seconds,
        "decide": _SWEEP_SECONDS,
        "execute": _SWEEP_SECONDS,
        "heartbeat": 10.0,
        "check_stale": 60.0,
        "train_requested_models": 5.0,
        "train_challengers": 30.0,
        "housekeeping": 3600.0,
    }.items()
}
