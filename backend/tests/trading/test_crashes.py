"""A crash at any step of an agent leaves everything or nothing: the books end as in the engine's replay."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.engine.accounts import moody_probabilities
from tests.trading.markets import PlayedSource, market, pipeline, running_account, told
from tests.trading.test_parity import HISTORY, PLAYED, SETTINGS, assert_same_books, expected, frames
from trading.agents import decision_maker, execution_agent, journal, market_monitor
from trading.books import session
from trading.books.audit import differences
from trading.messages import adapter
from trading.models import Account, Message

STEPS: list[tuple[Any, str]] = [
    (market_monitor, "store_candles"),
    (market_monitor, "newest_snapshot"),
    (decision_maker, "concerned_sessions"),
    (decision_maker, "save"),
    (decision_maker.DecisionMaker, "_close"),
    (decision_maker.DecisionMaker, "_decide"),
    (decision_maker.DecisionMaker, "_message"),
    (execution_agent, "locked_sessions"),
    (execution_agent, "save"),
    (session, "candle"),
    (session, "insert"),
    (session, "update"),
    (session, "proposed_lots"),
    (session, "at_open"),
    (session.AccountSession, "_record_fill"),
    (session.AccountSession, "settle"),
    (journal, "traded"),
    (adapter.DjangoAgentAdapter, "publish"),
]
CRASHES_PER_CALL = 0.04


class Crash(BaseException):
    """Not an Exception: nothing may catch it, as nothing catches kill -9."""


class Accidents:
    """Crashes before and after steps, by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.at: set[tuple[str, str]] = set()

    def around(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def crashing(*arguments: Any, **named: Any) -> Any:
            self._crash(name, "before")
            result = step(*arguments, **named)
            self._crash(name, "after")
            return result

        return crashing

    def _crash(self, name: str, moment: str) -> None:
        # A place that has not crashed yet crashes more often, so that each of them does in the course of the play.
        if self.chance.random() < CRASHES_PER_CALL or (self.chance.random() < 0.3 and (name, moment) not in self.at):
            self.at.add((name, moment))
            raise Crash


@pytest.mark.django_db(transaction=True)
def test_crashes_at_every_step_change_nothing_in_the_end(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candles = frames(real_data, ["BTCUSDT"])
    account = running_account(confidence_threshold=0.4, **SETTINGS[1])
    probabilities = moody_probabilities(PLAYED, seed=7)
    agents = pipeline(
        PlayedSource(candles["BTCUSDT"], HISTORY), told(candles["BTCUSDT"].index[HISTORY:], probabilities)
    )
    accidents = Accidents(seed=3)
    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, accidents.around(f"{owner.__name__}.{name}", getattr(owner, name)))
    while crashed_or_played(agents):
        pass
    monkeypatch.undo()
    agents.drain()
    assert accidents.at == {(f"{owner.__name__}.{name}", at) for owner, name in STEPS for at in ("before", "after")}
    assert_same_books(account, expected(account, candles, {"BTCUSDT": probabilities}, recorded=True))
    assert_same_books(account, expected(account, candles, {"BTCUSDT": probabilities}, recorded=False))
    assert list(differences(Account.objects.all())) == []
    assert not Message.objects.filter(attempts__gt=0).exists()


def crashed_or_played(agents: Any) -> bool:
    try:
        return agents.process_next(market())
    except Crash:
        return True
