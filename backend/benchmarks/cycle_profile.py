"""How far a reader has to follow one cycle of the agents: functions, files and moves from a candle to its trades.

    DATABASE_URL=... python -m benchmarks.cycle_profile

The candle reaches the stop of one account, which is sold, and another account buys. Counted are named functions in the
project's own files; a move is a call from one of them into another file, directly or through a library. A generator
counts when it begins. The database, SQLite or PostgreSQL, is emptied. Exit code 1 where a target is missed.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from inspect import CO_GENERATOR
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

import django

from benchmarks.known_market import (
    BenchmarkError,
    Known,
    audited,
    empty_database,
    made_accounts,
    made_candles,
    made_markets,
)
from engine.indicators import WINDOW
from engine.orders import Action
from engine.snapshot import Snapshot

if TYPE_CHECKING:
    from learning.registry.serving import Predictor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

MOST_FILES, MOST_MOVES = 20, 120
BACKEND = Path(__file__).resolve().parents[1]
NOT_COUNTED = ("tests", "benchmarks")
# Candles after the history: one account buys in the first; the rest fill caches, and the last one is profiled.
BOUGHT, PROFILED = 0, 4
SURE, UNSURE = Decimal("0.5"), Decimal("0.9")


@dataclass
class Calls:
    """How often each function was called, and how often a call went from one file into another."""

    functions: Counter[CodeType] = field(default_factory=Counter)
    moves: int = 0
    _own: dict[CodeType, bool] = field(default_factory=dict)
    # The next step of a generator is a call with the frame of the first; kept, a frame's place is not used again.
    _generators: set[FrameType] = field(default_factory=set)

    @property
    def files(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for code, calls in self.functions.items():
            found[str(Path(code.co_filename).relative_to(BACKEND))] += calls
        return found

    @contextmanager
    def counted(self) -> Iterator[None]:
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<") or not self._counts(code) or frame in self._generators:
            return
        if code.co_flags & CO_GENERATOR:
            self._generators.add(frame)
        self.functions[code] += 1
        caller = frame.f_back
        while caller is not None and not self._counts(caller.f_code):
            caller = caller.f_back
        if caller is not None and caller.f_code.co_filename != code.co_filename:
            self.moves += 1

    def _counts(self, code: CodeType) -> bool:
        if code not in self._own:
            path = Path(code.co_filename)
            self._own[code] = path.is_relative_to(BACKEND) and path.relative_to(BACKEND).parts[0] not in NOT_COUNTED
        return self._own[code]


@dataclass
class Trained:
    """The answers of a stored model, with known probabilities in the place of its own."""

    predictor: "Predictor"
    known: Known

    def predict(self, snapshot: Snapshot, name: str) -> Any:
        found = self.predictor.predict(snapshot, name)
        if found is None:
            raise BenchmarkError("no model answers")
        return replace(found, probabilities=self.known.predict(snapshot, name).probabilities)


def cycle(trained: bool) -> Calls:
    """One profiled cycle, with a stored model or with none. Raises BenchmarkError where it trades otherwise."""
    from learning.registry.services import train_version
    from learning.registry.serving import Predictor
    from learning.training.recipes import Recipe
    from market.sources.replay import ReplaySource
    from trading.models import Trade, TradingSettings
    from trading.runtime.pipeline import Pipeline

    candles = made_candles(WINDOW + PROFILED + 2)
    lows = candles["low"].to_numpy().copy()
    lows[WINDOW + PROFILED] *= 0.97
    candles["low"] = lows
    played = ReplaySource(candles, candles.index[WINDOW].to_pydatetime())

    def says(snapshot: Snapshot) -> Action:
        buys = candles.index[[WINDOW + BOUGHT, WINDOW + PROFILED]]
        return Action.BUY if snapshot.open_time in buys else Action.HOLD

    empty_database()
    (market,) = made_markets(1)
    (protected,) = made_accounts(1, [market], "protected", stop_loss=Decimal("0.02"), confidence_threshold=SURE)
    (buyer,) = made_accounts(1, [market], "buyer", confidence_threshold=UNSURE)
    predictor = Trained(Predictor(), Known(says)) if trained else Known(says)
    pipeline = Pipeline(sources=lambda symbol, interval: played, predictor=predictor)  # type: ignore[arg-type]  # answers like a Predictor
    pipeline.prepare(market)
    if trained:
        train_version(market.symbol, market.interval, Recipe(trees=20, threshold=0.0005))
    for _ in range(PROFILED):
        pipeline.process_next(market)
    TradingSettings.objects.filter(account=protected).update(confidence_threshold=UNSURE)
    TradingSettings.objects.filter(account=buyer).update(confidence_threshold=SURE)
    before, calls = list(Trade.objects.values_list("pk", flat=True)), Calls()
    with calls.counted():
        pipeline.process_next(market)
    trades = list(Trade.objects.exclude(pk__in=before).order_by("pk").values_list("account_id", "action"))
    if trades != [(protected.pk, "SELL"), (buyer.pk, "BUY")]:
        raise BenchmarkError(f"the cycle traded {trades}")
    audited()
    return calls


def show(name: str, calls: Calls) -> None:
    print(f"{name:16}{len(calls.functions):10}{sum(calls.functions.values()):8}{len(calls.files):8}{calls.moves:8}")


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    django.setup()
    known, trained = cycle(trained=False), cycle(trained=True)
    print("calls  file, with a stored model")
    for file, calls in trained.files.most_common():
        print(f"{calls:5}  {file}")
    print(f"{'':16}{'functions':>10}{'calls':>8}{'files':>8}{'moves':>8}")
    show("known answers", known)
    show("a stored model", trained)
    met = len(trained.files) <= MOST_FILES and trained.moves <= MOST_MOVES
    print(
        f"target with a stored model: at most {MOST_FILES} files and {MOST_MOVES} moves: {'met' if met else 'NOT met'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
