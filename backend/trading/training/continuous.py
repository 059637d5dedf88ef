"""Learning as it goes: after every ten decisions a challenger is trained, and who decides is judged by what was said.

Nothing is counted in memory. How many decisions there have been since the newest model was trained is asked of the
stored rows, so that a restart neither forgets nor repeats.
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
from learning.promotion.review import Change, review, succeed
from learning.registry.selectors import champion, newest_version
from learning.registry.services import train_version
from learning.registry.serving import Predictor
from learning.training.examples import PositionOutcome
from learning.training.fit import TrainingError
from learning.training.recipes import Recipe, RecipeError
from learning.training.train import TrainingResult, train_and_score
from trading.agents import journal
from trading.agents.pipeline import Market, watched_markets
from trading.messages.adapter import OUTAGES
from trading.models import Decision, Message, Trade
from trading.training.trainer import recipe_for, wanted_models

logger = logging.getLogger(__name__)

DECISIONS_BETWEEN = 10

MakeFrom = Callable[[Recipe, pd.DataFrame, bool, Sequence[PositionOutcome]], TrainingResult]
"""`learning.training.train.train_and_score`, or the same in a process of its own."""


def learn_everywhere(make: MakeFrom = train_and_score, predictor: Predictor | None = None) -> None:
    """One turn for each model of each watched market. What goes wrong in one is told there, and the others go on."""
    for market in watched_markets():
        for name in wanted_models(market):
            try:
                learn(market, name, make, predictor)
            except OUTAGES:
                raise
            except (TrainingError, RecipeError) as error:
                logger.warning("%s at %s: %s does not learn: %s", market.symbol, market.interval, name, error)
                journal.not_learning(market.symbol, market.interval, name, error)
            except Exception as error:
                # The outermost edge of one model.
                logger.exception("%s at %s: %s does not learn", market.symbol, market.interval, name)
                journal.not_learning(market.symbol, market.interval, name, error)


def learn(
    market: Market, name: str, make: MakeFrom = train_and_score, predictor: Predictor | None = None
) -> ModelVersion | None:
    """Judges the champion, and trains a challenger if it is time: that one, or None. Raises TrainingError."""
    newest = newest_version(market.symbol, market.interval, name)
    if newest is None:
        # The first model is trained before the first decision (`trading.training.trainer`).
        return None
    if change := review(market.symbol, market.interval, name):
        _tell(market, change, predictor)
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
    """How many candles after that moment were decided on by models of this algorithm, or for want of one.

    Counted up to `most`. A candle counts once, for however many accounts it was decided on; and while nobody decides,
    because the champion was rolled back, every candle counts.
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
    """A position on its way: when it was decided on, and what its sales have earned so far of what they had cost."""

    decided_at: datetime
    pnl: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)


def completed_pairs(market: Market) -> list[PositionOutcome]:
    """What came of the positions of all accounts that were decided on in a market, by the candle of the decision.

    A position that was opened by hand says nothing about a candle, and one of which nothing is sold nothing yet.
    """
    trades = Trade.objects.filter(symbol=market.symbol).order_by("account", "timestamp", "pk")
    told = trades.values_list(
        "account", "action", "order__decision__interval", "order__decision__close_time", "pnl", "cost"
    )
    outcomes: list[PositionOutcome] = []
    open_pairs: dict[int, _Pair] = {}
    length: timedelta = interval_length(market.interval)
    for account, action, interval, closed, pnl, cost in told.iterator():
        if action == "BUY":
            _complete(open_pairs.pop(account, None), length, outcomes)
            if interval == market.interval:
                open_pairs[account] = _Pair(closed)
        elif account in open_pairs and cost:
            open_pairs[account].pnl += pnl
            open_pairs[account].cost += cost
    for pair in open_pairs.values():
        _complete(pair, length, outcomes)
    return sorted(outcomes, key=lambda outcome: (outcome.open_time, outcome.profit))


def _complete(pair: _Pair | None, length: timedelta, outcomes: list[PositionOutcome]) -> None:
    if pair is not None and pair.cost:
        outcomes.append(PositionOutcome(pair.decided_at - length, float(pair.pnl / pair.cost)))


def _tell(market: Market, change: Change, predictor: Predictor | None) -> None:
    logger.info("%s", change.text)
    journal.champion_changed(market.symbol, market.interval, change)
    if predictor is not None and change.promotion.version is not None:
        predictor.warm(change.promotion.version)
