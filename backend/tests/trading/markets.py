"""A user's account in a market that is replayed from made or real candles, with a model whose answers are known."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd

from accounts.models import User
from engine.features import FEATURES
from engine.indicators import Array
from engine.snapshot import Snapshot
from learning.serving import Answer
from market.models import Symbol
from market.services import add_symbol
from market.sources.replay import ReplaySource
from tests.engine.accounts import moody_probabilities
from tests.markets import real_candles
from trading.books.accounts import follow, open_account, start_agents
from trading.models import Account, Follow, TradingSettings
from trading.runtime.pipeline import Pipeline
from trading.selectors.markets import Market

CASH = Decimal("10000.00")


@dataclass
class ToldPredictor:
    """Answers by the open time of the candle."""

    answers: dict[datetime, Array]
    asked: list[datetime] = field(default_factory=list)

    def answer(self, snapshot: Snapshot, model_type: str) -> Answer | None:
        self.asked.append(snapshot.open_time)
        if snapshot.open_time not in self.answers:
            return None
        return Answer(self.answers[snapshot.open_time], model_type, "told", dict.fromkeys(FEATURES, 0.0))


class PlayedSource(ReplaySource):
    """A replay whose history is given in candles."""

    def __init__(self, candles: pd.DataFrame, history: int) -> None:
        super().__init__(candles)
        self.known = history

    def history(self) -> pd.DataFrame:
        return self.candles.iloc[: self.known]


def told(index: pd.DatetimeIndex, probabilities: Array) -> ToldPredictor:
    return ToldPredictor(dict(zip(index.to_pydatetime(), probabilities, strict=True)))


def running_account(
    email: str = "ann@example.com", *, interval: str = "1h", symbols: str = "BTCUSDT", **settings: object
) -> Account:
    account = open_account(User.objects.create_user(email, "a long passphrase"))
    # Unless a test asks for it, nothing decides but the model whose answers are known.
    settings = {"rule_based_fallback": False, **settings}
    TradingSettings.objects.filter(account=account).update(interval=interval, **settings)
    # Only these, and not the watch list that a new user is given.
    Follow.objects.filter(account=account).delete()
    account.follows.all().delete()
    follow(account, [add_symbol(symbol) for symbol in symbols.split()])
    start_agents(account)
    return Account.objects.select_related("settings").get(pk=account.pk)


def play_real_candles(real_data: Path, history: int, played: int, **settings: object) -> Account:
    """A running account whose agents decide on real candles, in turn for and against, until none is left."""
    candles = real_candles(real_data, "BTCUSDT_1h").iloc[300 : 300 + history + played]
    account = running_account(**{"confidence_threshold": Decimal("0.4"), "stop_loss": Decimal("0.005"), **settings})
    answers = told(candles.index[history:], moody_probabilities(played, seed=7))
    agents = pipeline(PlayedSource(candles, history), answers)
    while agents.process_next(market()):
        pass
    return account


def market(symbol: str = "BTCUSDT", interval: str = "1h") -> Market:
    return Market(Symbol.objects.get(symbol=symbol), interval)


def pipeline(source: ReplaySource, predictor: ToldPredictor) -> Pipeline:
    return Pipeline(sources=lambda symbol, interval: source, predictor=predictor)
