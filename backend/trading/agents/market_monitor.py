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


class MarketMonitor:
    """Watches one market: a symbol at an interval."""

    def __init__(self, adapter: DjangoAgentAdapter | None = None) -> None:
        self.adapter = adapter or DjangoAgentAdapter(AgentType.MARKET_MONITOR)

    def observe(self, symbol: Symbol, interval: str, source: ReplaySource) -> Message | None:
        """Takes what has closed since the last look and tells about the newest candle. None when nothing has.

        A candle and its snapshot are stored together: after a crash between the two there would be a candle that no
        agent was told about.
        """
        known = latest_candles(symbol, interval, 1)
        if known.empty:
            self._prepare(symbol, interval, source)
            known = latest_candles(symbol, interval, 1)
        fresh = source.closed_after(known.index[-1].to_pydatetime())
        if fresh.empty:
            return None
        with transaction.atomic():
            store_candles(symbol, interval, fresh, source.name)
            snapshot = self.snapshot(symbol, interval, fresh.index[-1])
            return None if snapshot is None else self._tell(symbol, interval, snapshot)

    def snapshot(self, symbol: Symbol, interval: str, open_time: pd.Timestamp) -> Snapshot | None:
        """The market at the close of a stored candle; None while the indicators are warming up."""
        window = latest_candles(symbol, interval, WINDOW, end=_just_after(open_time))
        return snapshot_at(market_frame(window), -1, symbol.symbol, interval)

    def _prepare(self, symbol: Symbol, interval: str, source: ReplaySource) -> None:
        """Stores what was known before, and the steps of the instrument as its prices show them."""
        history = source.history()
        store_candles(symbol, interval, history, source.name)
        if symbol.price_tick is None:
            # Once, from the past only: a tick that moved with the data would change prices after the fact.
            Symbol.objects.filter(pk=symbol.pk, price_tick=None).update(price_tick=inferred_tick(history))
            symbol.refresh_from_db(fields=["price_tick"])

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
