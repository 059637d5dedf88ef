"""The Market Monitor: closed candles in, MARKET_SNAPSHOT messages out. It knows no account."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pandas as pd
from django.db import transaction

from engine.candles import validate
from engine.indicators import WINDOW
from engine.snapshot import newest_snapshot
from market.calendar.sessions import times_of
from market.instruments import inferred_tick
from market.models import Symbol
from market.selectors import latest_candles
from market.services import store_candles
from market.sources.replay import ReplaySource
from market.window import CandleWindow
from trading.messages.adapter import DjangoAgentAdapter
from trading.models import AgentType, Message

Facts = Mapping[str, Any]
NO_FACTS: Facts = {}

# More than any first history of a replay, so that the price step is read from all of it.
TICK_CANDLES = 50_000


class MarketMonitor:
    """Watches markets: symbols at an interval."""

    def __init__(self, adapter: DjangoAgentAdapter | None = None) -> None:
        self.adapter = adapter or DjangoAgentAdapter(AgentType.MARKET_MONITOR)
        self._windows: dict[tuple[int, str], CandleWindow] = {}

    def observe(self, symbol: Symbol, interval: str, source: ReplaySource) -> Message | None:
        """Takes what has closed since the last poll and publishes the newest candle. None when nothing has."""
        fresh = self.fresh(symbol, interval, source)
        return None if fresh.empty else self.publish(symbol, interval, fresh, source.name)

    def fresh(self, symbol: Symbol, interval: str, source: ReplaySource) -> pd.DataFrame:
        """What has closed since the newest stored candle; an empty frame when nothing has."""
        known = self._windows.get((symbol.pk, interval))
        if known is None:
            self.prepare(symbol, interval, source)
            known = CandleWindow.stored(symbol, interval, WINDOW)
            self._keep(symbol, interval, known)
        # Where another process has stored that candle already, `publish` notices.
        return source.closed_after(known.newest)

    def publish(
        self, symbol: Symbol, interval: str, fresh: pd.DataFrame, source_name: str, facts: Facts = NO_FACTS
    ) -> Message | None:
        """Stores candles and the snapshot of the newest; None while the indicators are warming up.

        `facts` are published with the snapshot: what a live market is known by, and no model is asked about.

        Candles and snapshot commit together: after a crash between the two there would be a candle that no agent
        learns of.
        """
        with transaction.atomic():
            window = self._stored(symbol, interval, validate(fresh), source_name)
            self._keep(symbol, interval, window)
            snapshot = newest_snapshot(window.columns, window.newest, symbol.symbol, interval)
            if snapshot is None:
                return None
            return self.adapter.send_message(
                AgentType.DECISION_MAKER,
                Message.Type.MARKET_SNAPSHOT,
                {**snapshot.to_json(), **facts},
                key=f"snapshot:{symbol.symbol}:{interval}:{snapshot.close_time:%Y%m%dT%H%M}",
                symbol=symbol,
                interval=interval,
            )

    def _stored(self, symbol: Symbol, interval: str, fresh: pd.DataFrame, source_name: str) -> CandleWindow:
        """Stores candles, and gives the window that ends with the newest of them: the kept one goes on where the table
        holds the same.
        """
        kept, times = self._windows.pop((symbol.pk, interval), None), times_of(fresh.index)
        new = store_candles(symbol, interval, fresh, source_name)
        if kept is not None and new == len(times) == 1 and times[0] > kept.times[-1]:
            window = kept.followed_by(times, fresh.to_numpy())
            if window.is_stored(symbol, interval):
                return window
        end = fresh.index[-1].to_pydatetime() + timedelta(microseconds=1)
        return CandleWindow.stored(symbol, interval, WINDOW, end=end)

    @transaction.atomic
    def prepare(self, symbol: Symbol, interval: str, source: ReplaySource) -> None:
        """Before the first poll: stores the history, and the price step as the stored prices show it."""
        known = latest_candles(symbol, interval, 1)
        if known.empty:
            store_candles(symbol, interval, source.history(), source.name)
        self.learn_tick(symbol, interval)

    def learn_tick(self, symbol: Symbol, interval: str) -> None:
        """The price step, where the venue has not stated it, as the stored prices show it."""
        if symbol.price_tick is None:
            # Once, from the past only: a tick that moved with the data would change prices after the fact.
            tick = inferred_tick(latest_candles(symbol, interval, TICK_CANDLES))
            Symbol.objects.filter(pk=symbol.pk, price_tick=None).update(price_tick=tick)
            symbol.refresh_from_db(fields=["price_tick"])

    def _keep(self, symbol: Symbol, interval: str, window: CandleWindow) -> None:
        """From the commit on: until then its newest candle may still come to nothing."""
        transaction.on_commit(lambda: self._windows.update({(symbol.pk, interval): window}))
