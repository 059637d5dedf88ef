"""The options of a run: parsed from text once, checked when built, and complete enough to run it again."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from math import isfinite
from typing import Any, TypeVar

from engine.candles import CandleError, interval_length
from engine.orders import ZERO, Instrument
from engine.terms import Costs, Limits, Policy, Rules

LARGEST_SEED = 2**32 - 1
SMALLEST_BALANCE, LARGEST_BALANCE = Decimal("0.01"), Decimal(10**9)
SMALLEST_QUANTITY, LARGEST_QUANTITY = Decimal("1e-10"), Decimal(10**15)
LARGEST_RETRAIN_EVERY = 10**9
LARGEST_TAKE_PROFIT = Decimal(100)
LARGEST_COUNT = 10**6
MOST_SYMBOLS = 50
# A training on a history that grew by an eighth has something new to learn from; more often costs minutes.
FEWEST_BETWEEN_TRAININGS, HISTORY_PER_TRAINING = 250, 8
SLOWEST_SPEED = 3600
POLICY, COSTS = Policy(), Costs()

LEVELS = ("stop_loss", "take_profit", "trailing_stop")

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)
WHOLE_NUMBER = re.compile(r"[+-]?\d{1,12}", re.ASCII)
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


Choice = TypeVar("Choice", bound=StrEnum)


class Model(StrEnum):
    """Who decides. The first three are trained; the last is a rule, to hold them against."""

    RANDOM_FOREST = "random_forest"
    GRADIENT_BOOSTING = "gradient_boosting"
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"
    SMA_CROSS = "sma_cross"

    @property
    def is_trained(self) -> bool:
        return self is not Model.SMA_CROSS


class StopFill(StrEnum):
    """What a stop that is reached inside a candle is filled at."""

    LEVEL = "level"
    LOW = "low"


class InstrumentSource(StrEnum):
    """Where tick, lot step and least notional come from: the candles and the kind of a symbol, or its stored row."""

    INFERRED = "inferred"
    STORED = "stored"


class OptionsError(ValueError):
    """Options that no run can be made from, in one line for people."""


@dataclass(frozen=True, slots=True)
class Options:
    """`start` and `end` are the first and the last moment at which a candle of the run may open; None is open-ended.

    `symbol` names one instrument, or several with commas between them, in the order of their names. Rates, limits and
    levels are fractions (0.001 is 0.1 %); a level or a limit of None is switched off. `retrain_every` counts
    candles; 0 trains once, None every eighth of the history before the test. `label_threshold` is the move that the
    labels of a trained model call BUY or SELL.
    """

    symbol: str
    interval: str
    start: datetime | None = None
    end: datetime | None = None
    model: Model = Model.RANDOM_FOREST
    initial_balance: Decimal = Decimal("10000.00")
    confidence: float = POLICY.confidence_threshold
    retrain_every: int | None = None
    fee_rate: Decimal = COSTS.fee_rate
    slippage: Decimal = COSTS.slippage_rate
    seed: int = 42
    stop_loss: float | None = POLICY.stop_loss
    take_profit: float | None = POLICY.take_profit
    trailing_stop: float | None = POLICY.trailing_stop
    max_position: Decimal = Limits().max_position
    quantity: Decimal | None = None
    max_open_positions: int | None = None
    max_exposure: Decimal | None = None
    max_daily_loss: Decimal | None = None
    max_drawdown: Decimal | None = None
    max_entries_per_day: int | None = None
    stop_fill: StopFill = StopFill.LEVEL
    instrument: InstrumentSource = InstrumentSource.INFERRED
    label_threshold: float = 0.005

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbol", ",".join(sorted(self.symbol.split(","))))
        _check_symbols(self.symbols)
        for name, parse_choice in CHOICES.items():
            object.__setattr__(self, name, parse_choice(name, getattr(self, name)))
        _check_interval(self.interval)
        if self.start is not None and self.end is not None and self.start > self.end:
            raise OptionsError(f"the start {spell(self.start)} is after the end {spell(self.end)}")
        _within("initial balance", self.initial_balance, SMALLEST_BALANCE, LARGEST_BALANCE)
        if self.retrain_every is not None:
            _within("retrain every", self.retrain_every, 0, LARGEST_RETRAIN_EVERY)
        _within("seed", self.seed, 0, LARGEST_SEED)
        _within("confidence", self.confidence, 0, 1)
        for name in ("fee_rate", "slippage"):
            _fraction(name, getattr(self, name), or_zero=True)
        for name in ("stop_loss", "trailing_stop"):
            _fraction(name, getattr(self, name))
        if self.take_profit is not None:
            _within("take profit", self.take_profit, Decimal("1e-6"), LARGEST_TAKE_PROFIT)
        self._check_limits()
        if self.quantity is not None:
            _within("quantity", self.quantity, SMALLEST_QUANTITY, LARGEST_QUANTITY)

    def _check_limits(self) -> None:
        for name in ("max_position", "max_exposure", "max_daily_loss", "max_drawdown"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and ZERO < value <= 1):
                raise OptionsError(f"{_words(name)} must be above 0 and at most 1, the whole equity, not {value}")
        for name in ("max_open_positions", "max_entries_per_day"):
            if getattr(self, name) is not None:
                _within(_words(name), getattr(self, name), 0, LARGEST_COUNT)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.symbol.split(","))

    def candles_between_trainings(self, history: int) -> int:
        """After how many candles a model is trained again, when it was first trained on `history` candles."""
        if self.retrain_every is not None:
            return self.retrain_every
        return max(FEWEST_BETWEEN_TRAININGS, history // HISTORY_PER_TRAINING)

    def rules(self, instrument: Instrument) -> Rules:
        """How the account of this run trades."""
        policy = Policy(
            confidence_threshold=self.confidence,
            max_position=float(self.max_position),
            stop_loss=self.stop_loss,
            take_profit=self.take_profit,
            trailing_stop=self.trailing_stop,
            quantity=self.quantity,
            stop_fills_at_low=self.stop_fill is StopFill.LOW,
        )
        limits = Limits(
            max_position=self.max_position,
            max_exposure=self.max_exposure,
            max_daily_loss=self.max_daily_loss,
            max_drawdown=self.max_drawdown,
            max_entries_per_day=self.max_entries_per_day,
            max_open_positions=self.max_open_positions,
        )
        return Rules(instrument, Costs(self.fee_rate, self.slippage), policy, limits)

    def as_json(self) -> dict[str, Any]:
        """The options as they are stored with a run."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Options":
        """The options that `as_json` stored; what did not exist then has its default. Raises OptionsError."""
        texts = {name: str(stored[name]) for name in PARSERS if stored.get(name) is not None}
        off = {name: None for name in LEVELS if stored[name] is None}
        threshold = float(stored["label_threshold"])
        return parse(texts, symbol=stored["symbol"], interval=stored["interval"], label_threshold=threshold, **off)


def parse(texts: Mapping[str, str | None], **known: Any) -> Options:
    """Options from what a user wrote, by field name; None and missing ones keep their default. Raises OptionsError.

    `known` are fields that are values already, such as a symbol that was checked.
    """
    values = {name: PARSERS[name](name, text) for name, text in texts.items() if text is not None}
    return Options(**{**values, **known})


def parse_speed(text: str) -> float:
    """Seconds to wait after each candle. Raises OptionsError."""
    seconds = _float("speed", text)
    _within("speed", seconds, 0, SLOWEST_SPEED)
    return seconds


def spell(moment: datetime) -> str:
    """A UTC moment for people: midnight as its date, the last microsecond of a day as that day."""
    if moment.time() in (time.min, time.max):
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d %H:%M}"


def spell_exactly(moment: datetime) -> str:
    """ISO 8601 with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _number(name: str, text: str) -> Decimal:
    text = text.strip()
    if not NUMBER.fullmatch(text):
        raise OptionsError(f"{_words(name)} must be a plain number, not {text[:40]!r}")
    return Decimal(text)


def _float(name: str, text: str) -> float:
    number = _number(name, text)
    # Every float option is a fraction or a small multiple, and float() of more than 1e308 is infinity.
    if abs(number) > LARGEST_BALANCE:
        raise OptionsError(f"{_words(name)} cannot be {text.strip()[:40]}")
    return float(number)


def _level(name: str, text: str) -> float | None:
    """A protective level; 0 and "none" switch it off."""
    if text.strip().lower() == "none":
        return None
    return _float(name, text) or None


def _whole(name: str, text: str) -> int:
    text = text.strip()
    if not WHOLE_NUMBER.fullmatch(text):
        raise OptionsError(f"{_words(name)} must be a whole number, not {text[:40]!r}")
    return int(text)


def _choice(choices: type[Choice]) -> Callable[[str, str], Choice]:
    def parsed(name: str, text: str) -> Choice:
        if text not in list(choices):
            raise OptionsError(f"unknown {_words(name)} {text[:40]!r}; known are {', '.join(choices)}")
        return choices(text)

    return parsed


CHOICES = {"model": _choice(Model), "stop_fill": _choice(StopFill), "instrument": _choice(InstrumentSource)}


def _first_moment(name: str, text: str) -> datetime:
    return _moment(name, text, time.min)


def _last_moment(name: str, text: str) -> datetime:
    return _moment(name, text, time.max)


def _moment(name: str, text: str, of_day: time) -> datetime:
    """A date as its first or last moment in UTC, or an ISO 8601 time; UTC where it names no zone."""
    text = text.strip()
    try:
        if DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), of_day, UTC)
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        wanted = "a date such as 2024-11-01 or a time such as 2024-11-01T09:30"
        raise OptionsError(f"{_words(name)} must be {wanted}, not {text[:40]!r}") from error


PARSERS = {
    "start": _first_moment,
    "end": _last_moment,
    **CHOICES,
    "initial_balance": _number,
    "confidence": _float,
    "retrain_every": _whole,
    "fee_rate": _number,
    "slippage": _number,
    "seed": _whole,
    "stop_loss": _level,
    "take_profit": _level,
    "trailing_stop": _level,
    "max_position": _number,
    "quantity": _number,
    "max_open_positions": _whole,
    "max_exposure": _number,
    "max_daily_loss": _number,
    "max_drawdown": _number,
    "max_entries_per_day": _whole,
}


def _check_symbols(symbols: Sequence[str]) -> None:
    if len(symbols) > MOST_SYMBOLS:
        raise OptionsError(f"{len(symbols)} symbols; at most {MOST_SYMBOLS} can share an account")
    for symbol, after in pairwise(symbols):
        if symbol == after:
            raise OptionsError(f"the symbol {symbol} is named twice")


def _check_interval(interval: str) -> None:
    try:
        interval_length(interval)
    except CandleError as error:
        raise OptionsError(error.detail) from error


def _within(words: str, value: Decimal | float, least: Decimal | float, most: Decimal | float) -> None:
    # A NaN of Decimal cannot even be compared.
    if not (isfinite(value) and least <= value <= most):
        raise OptionsError(f"{words} must be from {least:,} to {most:,}, not {value}")


def _fraction(name: str, value: Decimal | float | None, or_zero: bool = False) -> None:
    if value is None or (or_zero and value == 0):
        return
    if not (isfinite(value) and 0 < value < 1):
        least = "from 0" if or_zero else "above 0"
        raise OptionsError(f"{_words(name)} must be a fraction {least} to below 1 (0.03 is 3 %), not {value}")


def _words(name: str) -> str:
    return {"start": "start date", "end": "end date"}.get(name, name.replace("_", " "))


def _plain(value: Any) -> Any:
    return spell_exactly(value) if isinstance(value, datetime) else value
