"""A market of made candles behind the API, and answers taken apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from rest_framework.response import Response

from accounts.models import User
from engine.indicators import WINDOW
from market.models import Symbol
from market.services import add_symbol
from tests.markets import made_candles, random_walk
from tests.trading.markets import PlayedSource, ToldPredictor, pipeline, told
from trading.models import Account
from trading.runtime import on_demand
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import Market

API = "/api/trading/"
PLAYED = 60
BUY, SELL, HOLD = [0.05, 0.05, 0.9], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05]

# What bodies and queries must survive, whatever the key.
NONSENSE: list[Any] = [None, "", "x", "NaN", "1e999", [], {}, True, -1, 0, 1.5, 10**30, "\0", "9" * 5000]


@dataclass
class Played:
    """What the tests turn: each `turn` plays one candle through all three agents."""

    pipeline: Pipeline
    predictor: ToldPredictor
    source: PlayedSource
    symbol: Symbol

    @property
    def market(self) -> Market:
        return Market(self.symbol, "1h")

    def observe(self) -> None:
        """The next candle becomes a snapshot, and nobody decides on it."""
        self.pipeline.monitor.observe(self.symbol, "1h", self.source)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.pipeline.process_next(self.market)

    def says(self, probabilities: list[float]) -> None:
        for time in self.predictor.answers:
            self.predictor.answers[time] = np.array(probabilities)


def playing(monkeypatch: pytest.MonkeyPatch) -> Played:
    candles = made_candles(np.round(random_walk(WINDOW + PLAYED, seed=3), 2), 2.0)
    source = PlayedSource(candles, WINDOW)
    predictor = told(candles.index[WINDOW:], np.tile(BUY, (PLAYED, 1)))
    made = pipeline(source, predictor)
    monkeypatch.setattr(on_demand, "agents", lambda: made)
    return Played(made, predictor, source, add_symbol("BTCUSDT"))


def account_of(user: User) -> Account:
    return Account.objects.select_related("settings").get(user=user)


def body(answer: Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()


def results(answer: Response) -> list[dict[str, Any]]:
    page = body(answer)
    assert list(page) == ["count", "next", "previous", "results"]
    return page["results"]
