"""The Market Monitor: closed candles in, MARKET_SNAPSHOT messages out. It knows no account."""

from datetime import datetime

import pandas as pd
from django.db import transaction

from engine.indicators import WINDOW
from engine.snapshot import Snapshot, market_frame, snapshot_at
from market.instruments import inferred_tick
from market.models import Symbol
from market.selectors import latest_candles
from market.services import store_candles
from market.sources.replay import ReplaySource
from trading.agents.integration import DjangoAgentAdapter
from trading.models import AgentType, Message

# More than any first history of a replay, so that the price step is read from all of it.
TICK_CANDLES = 5000


class MarketMonitor:
    """Watches one market: a symbol at an interval."""

    def __init__(self, adapter: DjangoAgentAdapter | None = None) -> None:
        self.adapter = adapter or DjangoAgentAdapter(AgentType.MARKET_MONITOR)

    def observe(self, symbol: Symbol, interval: str, source: ReplaySource) -> Message | None:
        """Takes what has closed since the last look and tells about the newest candle. None when nothing has."""
        fresh = self.fresh(symbol, interval, source)
        return None if fresh.empty else self.tell(symbol, interval, fresh, source.name)

    def fresh(self, symbol: Symbol, interval: str, source: ReplaySource) -> pd.DataFrame:
        """What has closed since the newest stored candle; an empty frame when nothing has."""
        self.prepare(symbol, interval, source)
        return source.closed_after(latest_candles(symbol, interval, 1).index[-1].to_pydatetime())

    def tell(self, symbol: Symbol, interval: str, fresh: pd.DataFrame, source_name: str) -> Message | None:
        """Stores candles and the snapshot of the newest; None while the indicators are warming up.

        A candle and its snapshot are stored together: after a crash between the two there would be a candle that no
        agent was told about.
        """
        with transaction.atomic():
            store_candles(symbol, interval, fresh, source_name)
            snapshot = self.snapshot(symbol, interval, fresh.index[-1])
            return None if snapshot is None else self._tell(symbol, interval, snapshot)

    @transaction.atomic
    def prepare(self, symbol: Symbol, interval: str, source: ReplaySource) -> None:
        """Before the first look: stores what was known before, and the price step as the stored prices show it."""
        known = latest_candles(symbol, interval, 1)
        if known.empty:
            store_candles(symbol, interval, source.history(), source.name)
        if symbol.price_tick is None:
            # Once, from the past only: a tick that moved with the data would change prices after the fact.
            tick = inferred_tick(latest_candles(symbol, interval, TICK_CANDLES))
            Symbol.objects.filter(pk=symbol.pk, price_tick=None).update(price_tick=tick)
            symbol.refresh_from_db(fields=["price_tick"])

    def snapshot(self, symbol: Symbol, interval: str, open_time: pd.Timestamp) -> Snapshot | None:
        """The market at the close of a stored candle; None while the indicators are warming up."""
        window = latest_candles(symbol, interval, WINDOW, end=_just_after(open_time))
        return snapshot_at(market_frame(window), -1, symbol.symbol, interval)

    def _tell(self, symbol: Symbol, interval: str, snapshot: Snapshot) -> Message:
        return self.adapter.send_message(
            AgentType.DECISION_MAKER,
            Message.Type.MARKET_SNAPSHOT,
            snapshot.to_json(),
            key=f"snapshot:{symbol.symbol}:{interval}:{snapshot.close_time:%Y%m%dT%H%M}",
            symbol=symbol,
            interval=interval,
        )


def _just_after(open_time: pd.Timestamp) -> datetime:
    return (open_time + pd.Timedelta(microseconds=1)).to_pydatetime()
