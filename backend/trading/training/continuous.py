"""Continuous learning: a challenger is trained after every ten decisions, and the champion is reviewed.

The number of decisions since the newest model was trained is read from the stored rows, so that a restart neither
forgets nor repeats any.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pandas as pd
from django.db.models import Exists, OuterRef

from engine.candles import interval_length
from engine.rules import MODEL_TYPE
from engine.snapshot import Snapshot
from learning.choice import ModelChoice
from learning.models import ModelVersion
from learning.promotion.review import review, succeed
from learning.registry.selectors import champion, newest_version
from learning.registry.services import train_version
from learning.registry.serving import Predictor
from learning.training.examples import PositionOutcome
from learning.training.fit import TrainingError
from learning.training.recipes import Recipe, RecipeError
from learning.training.train import TrainingResult, train_and_score
from trading.agents import journal
from trading.messages.adapter import OUTAGES
from trading.models import Decision, Message, Trade
from trading.selectors.markets import Market, watched_markets
from trading.training.trainer import recipe_for, wanted_models

logger = logging.getLogger(__name__)

DECISIONS_BETWEEN = 10

MakeFrom = Callable[[Recipe, pd.DataFrame, bool, Sequence[PositionOutcome]], TrainingResult]
"""`learning.training.train.train_and_score`, or the same in a process of its own."""


def learn_everywhere(make: MakeFrom = train_and_score, predictor: Predictor | None = None) -> None:
    """Each model of each watched market once. A failure is logged for its followers, and the others go on."""
    for market in watched_markets():
        for name in wanted_models(market):
            try:
                learn(market, name, make, predictor)
            except OUTAGES:
                raise
            except (TrainingError, RecipeError) as error:
                logger.warning("%s at %s: %s cannot learn: %s", market.symbol, market.interval, name, error)
                journal.not_learning(market.symbol, market.interval, name, error)
            except Exception as error:
                # The outermost edge of one model.
                logger.exception("%s at %s: %s cannot learn", market.symbol, market.interval, name)
                journal.not_learning(market.symbol, market.interval, name, error)


def learn(
    market: Market, name: str, make: MakeFrom = train_and_score, predictor: Predictor | None = None
) -> ModelVersion | None:
    """Reviews the champion, and trains and returns a challenger if one is due. Raises TrainingError."""
    newest = newest_version(market.symbol, market.interval, name)
    if newest is None:
        # The first model is trained before the first decision (`trading.training.trainer`).
        return None
    if change := review(market.symbol, market.interval, name):
        logger.info("%s", change.text)
        journal.champion_changed(market.symbol, market.interval, change)
        if predictor is not None and change.promotion.version is not None:
            predictor.warm(change.promotion.version)
    if decisions_since(market, name, newest.last_time, DECISIONS_BETWEEN) < DECISIONS_BETWEEN:
        return None
    outcomes = completed_pairs(market)
    version = train_version(
        market.symbol,
        market.interval,
        recipe_for(name),
        make=lambda recipe, candles, searched: make(recipe, candles, searched, outcomes),
    )
    if version.pk != newest.pk:
        succeed(version)
        journal.challenged(market.symbol, market.interval, version, len(outcomes))
    return version


def decisions_since(market: Market, name: str, trained_until: datetime, most: int) -> int:
    """The number of candles after that time decided on by this algorithm, or by rules in its place, up to `most`.

    A candle counts once for all accounts. While there is no champion, because it was rolled back, every candle counts.
    """
    deciding = [ModelChoice.named(name).algorithm, MODEL_TYPE]
    decided = Decision.objects.filter(snapshot=OuterRef("pk"), model_type__in=deciding)
    snapshots = Message.objects.filter(
        symbol=market.symbol, type=Message.Type.MARKET_SNAPSHOT, interval=market.interval
    )
    if champion(market.symbol, market.interval, name) is not None:
        snapshots = snapshots.filter(Exists(decided))
    newest = snapshots.order_by("-pk").values_list("payload", flat=True)[:most]
    return sum(Snapshot.from_json(payload).open_time > trained_until for payload in newest)


@dataclass
class _Pair:
    """A position: when it was decided on, and profit and cost of what has been sold of it."""

    decided_at: datetime
    pnl: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)


def completed_pairs(market: Market) -> list[PositionOutcome]:
    """The profits of the positions of all accounts in a market, by the candle of the decision.

    Without positions that were opened by hand, and those of which nothing is sold.
    """
    trades = Trade.objects.filter(symbol=market.symbol).order_by("account", "timestamp", "pk")
    rows = trades.values_list(
        "account", "action", "order__decision__interval", "order__decision__close_time", "pnl", "cost"
    )
    outcomes: list[PositionOutcome] = []
    open_pairs: dict[int, _Pair] = {}
    length: timedelta = interval_length(market.interval)
    for account, action, interval, closed, pnl, cost in rows.iterator():
        if action == "BUY":
            _complete(open_pairs.pop(account, None), length, outcomes)
            if interval == market.interval:
                open_pairs[account] = _Pair(closed)
        elif account in open_pairs and cost:
            open_pairs[account].pnl += pnl or 0
            open_pairs[account].cost += cost
    for pair in open_pairs.values():
        _complete(pair, length, outcomes)
    return sorted(outcomes, key=lambda outcome: (outcome.open_time, outcome.profit))


def _complete(pair: _Pair | None, length: timedelta, outcomes: list[PositionOutcome]) -> None:
    if pair is not None and pair.cost:
        outcomes.append(PositionOutcome(pair.decided_at - length, float(pair.pnl / pair.cost)))
