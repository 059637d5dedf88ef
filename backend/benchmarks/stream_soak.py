"""Does a stream that is broken every few seconds end with exactly the candles of the exchange?

An exchange on loopback lets minutes pass in a fraction of a second each, serves them over REST and its WebSocket, and
one of the faults below is on for a moment, then the next. In the end it is left alone, and the candle table has to hold
its candles: every one, none twice, none changed; and the agents must have been told of each, once and in order.

A candle that the exchange leaves out of its answer and shows later is not told when a later one has been: nobody may
decide on the past. Each of these is named, and has to be one that was left out, and that was not stored when the agents
were told of the next.

    python benchmarks/stream_soak.py --minutes 10

The database is a file of its own that is removed, or the one that DATABASE_URL names, which is emptied.
"""

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, process_time
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from tests.trading.exchange import FastExchange
    from trading.runtime.streaming import Relay

SYMBOLS = ("BTCUSDT", "ETHUSDT")
SHORTEST_FAULT, LONGEST_FAULT = 0.3, 2.0
SETTLE_SECONDS = 60.0

Break = Callable[["FastExchange"], None]


def drop(exchange: "FastExchange") -> None:
    exchange.stream.drop()


def close(exchange: "FastExchange") -> None:
    exchange.stream.close_politely()


def say_nothing(exchange: "FastExchange") -> None:
    exchange.stream.silent = True


def refuse(exchange: "FastExchange") -> None:
    exchange.stream.refusing = True
    exchange.stream.drop()


def refuse_everything(exchange: "FastExchange") -> None:
    refuse(exchange)
    _rest("SERVER_ERROR")(exchange)


def garbage(exchange: "FastExchange") -> None:
    exchange.stream.say('{"topic": "kline.1.BTCUSDT", "data": [{"start": 17')


def other_topic(exchange: "FastExchange") -> None:
    exchange.stream.say('{"topic": "kline.1.DOGEUSDT", "ts": 1719667601380, "type": "snapshot", "data": []}')
    exchange.stream.say('{"topic": "tickers.BTCUSDT", "ts": 1719667601380, "type": "snapshot", "data": {}}')


def impossible(exchange: "FastExchange") -> None:
    exchange.tell(exchange.closed - 1, low="0")


def twice(exchange: "FastExchange") -> None:
    for row in (exchange.closed - 1, exchange.closed - 5, exchange.closed - 1, exchange.closed - 40):
        exchange.tell(row)


def forming(exchange: "FastExchange") -> None:
    from tests.trading.exchange import as_candle

    for symbol, series in exchange.truth.items():
        exchange.stream.form_candle(symbol, *as_candle(series.bars[exchange.closed]))


def not_closed(exchange: "FastExchange") -> None:
    exchange.tell(exchange.closed + 1)


def leave_out(exchange: "FastExchange") -> None:
    exchange.mute = lambda row: row % 3 == 0


def wrong_clock(exchange: "FastExchange") -> None:
    exchange.stream.now = lambda: exchange.now() + timedelta(hours=2)
    exchange.rest.clock = lambda: exchange.now() + timedelta(hours=2)


def missing(exchange: "FastExchange") -> None:
    # Without an answer for a moment: of one new candle alone none could be left out.
    _rest("SERVER_ERROR", 2 * len(SYMBOLS))(exchange)
    exchange.leave_out()


def _rest(name: str, times: int = 1_000_000) -> Break:
    from tests.market.servers import faults

    def spoil(exchange: "FastExchange") -> None:
        exchange.rest.faults.add(getattr(faults, name), times)

    spoil.__name__ = name.lower()
    return spoil


def too_many_requests(exchange: "FastExchange") -> None:
    from tests.market.servers.faults import status

    exchange.rest.faults.add(status(429, b"", Retry_After="1"))


def hanging(exchange: "FastExchange") -> None:
    from tests.market.servers.faults import hanging as silent

    exchange.rest.faults.add(silent(3.0), 3)


REST = [
    "TRUNCATED",
    "INVALID",
    "EMPTY",
    "NOT_A_NUMBER",
    "ZERO_PRICE",
    "BACKWARDS",
    "DUPLICATED",
    "OTHER_SYMBOL",
]
STREAM: list[Break] = [
    *(drop, close, say_nothing, refuse, refuse_everything, garbage, other_topic, impossible),
    *(twice, forming, not_closed, leave_out, wrong_clock),
]


def and_rest(fault: Break, trouble: Break) -> Break:
    """While the source that has to fill in for the stream has a trouble of its own."""

    def both(exchange: "FastExchange") -> None:
        trouble(exchange)
        fault(exchange)

    both.__name__ = f"{fault.__name__} + {trouble.__name__}"
    return both


def faults() -> list[Break]:
    return [
        *STREAM,
        *(and_rest(drop, _rest(name)) for name in REST),
        *(and_rest(leave_out, _rest(name)) for name in ("SERVER_ERROR", "CUT_OFF")),
        *(and_rest(fault, missing) for fault in (drop, refuse, leave_out)),
        *(too_many_requests, hanging),
    ]


def leave_alone(exchange: "FastExchange") -> None:
    exchange.rest.faults.clear()
    exchange.stream.silent = exchange.stream.refusing = False
    exchange.stream.now = exchange.rest.clock = exchange.now
    exchange.mute = lambda row: False


class Witness:
    """Sees what is there whenever the agents are told: in the table, in the same transaction, and in the relay."""

    def __init__(self, relay: "Relay") -> None:
        self.relay = relay
        self.over: dict[tuple[str, datetime], datetime] = {}
        """What was not there when a later candle was told, and which one that was."""
        self.passed: set[tuple[str, datetime]] = set()
        """What was there then, and yet was not told."""
        self._newest: dict[str, datetime] = {}
        adapter = relay.pipeline.monitor.adapter
        self._make, adapter.message = adapter.message, self._seen  # type: ignore[method-assign]  # to look on

    def _seen(self, to_agent: str, message_type: str, payload: dict[str, Any], **details: Any) -> Any:
        from market.models import Candle
        from tests.trading.exchange import MINUTE

        symbol, time = payload["ticker"], datetime.fromisoformat(payload["timestamp"]) - MINUTE
        before = self._newest.get(symbol, time)
        skipped = {before + MINUTE * step for step in range(1, (time - before) // MINUTE)}
        stored = Candle.objects.filter(symbol=details["symbol"], open_time__in=skipped)
        there = {*stored.values_list("open_time", flat=True)}
        waiting = {
            time for market, held in self.relay._waiting.items() if market.symbol.symbol == symbol for time in held
        }
        there |= skipped & waiting
        message = self._make(to_agent, message_type, payload, **details)
        self.over |= {(symbol, one): time for one in skipped - there}
        self.passed |= {(symbol, one) for one in there}
        self._newest[symbol] = max(before, time)
        return message


@dataclass
class Soak:
    """A relay on an exchange. `run` breaks it for so long; `wrong` says what is not as it has to be."""

    exchange: "FastExchange"
    relay: "Relay"
    witness: Witness
    fault_every: float
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def run(self, seconds: float, say: Callable[[str], None] = lambda line: None) -> None:
        end = monotonic() + seconds
        for fault in self._faults():
            if monotonic() >= end:
                break
            self._turn_for(self.chance.uniform(0.5, 1.5) * self.fault_every)
            say(f"{self.exchange.closed} closed: {fault.__name__}")
            self.done[fault.__name__] += 1
            fault(self.exchange)
            self._turn_for(self.chance.uniform(SHORTEST_FAULT, LONGEST_FAULT))
            leave_alone(self.exchange)
        self._settle()

    def wrong(self) -> list[str]:
        from market.models import Candle

        problems = []
        for symbol, series in self.exchange.truth.items():
            rows = Candle.objects.filter(symbol__symbol=symbol).order_by("open_time")
            stored = list(rows.values_list("open_time", "open", "high", "low", "close", "volume"))
            truth = [_candle(self.exchange, series, row[0]) for row in stored]
            different = [str(theirs[0]) for ours, theirs in zip(stored, truth, strict=True) if ours != theirs]
            problems += [f"{symbol}: {len(different)} candles differ, the first at {different[0]}"] if different else []
            if self._missing(symbol):
                problems.append(f"{symbol}: {self._missing(symbol)} candles are missing")
            times = _told(symbol)
            if times != sorted(set(times)):
                problems.append(f"{symbol}: the agents were not told in order")
            unexplained = [time for time in self._untold(symbol) if not self._came_late(symbol, time)]
            problems += [f"{symbol}: the agents were not told about {time}" for time in unexplained]
        passed = [f"{symbol}: {time} was passed over, though it was there" for symbol, time in self.witness.passed]
        return problems + passed

    def late(self) -> list[str]:
        """Those that came when a later one had been told."""
        return [
            f"{symbol} {time:%m-%d %H:%M}: left out, not there when {self.witness.over[symbol, time]:%H:%M} was told"
            for symbol in self.exchange.truth
            for time in self._untold(symbol)
            if self._came_late(symbol, time)
        ]

    def _untold(self, symbol: str) -> list[datetime]:
        """What is stored and was not told, of all that closed after the first that was told, and before the end."""
        from market.models import Candle

        told = _told(symbol)
        stored = Candle.objects.filter(symbol__symbol=symbol, open_time__lt=self._end).order_by("open_time")
        if told:
            stored = stored.filter(open_time__gte=told[0])
        return sorted({*stored.values_list("open_time", flat=True)} - {*told})

    def _came_late(self, symbol: str, time: datetime) -> bool:
        return (symbol, time) in self.exchange.left_out and (symbol, time) in self.witness.over

    def counts(self) -> str:
        from market.models import Candle, CandleGap, CandleRevision
        from trading.models import Message

        return (
            f"{Candle.objects.count()} candles stored, {Message.objects.count()} snapshots told, "
            f"{len(self.late())} came too late to be told, "
            f"{CandleGap.objects.count()} gaps open, {CandleRevision.objects.count()} revisions, "
            f"{self.exchange.stream.connections} connections, {len(self.exchange.rest.asked)} requests"
        )

    def _faults(self) -> Iterator[Break]:
        """All of them, in another order each time."""
        while True:
            known = faults()
            self.chance.shuffle(known)
            yield from known

    def _turn_for(self, seconds: float) -> None:
        end = monotonic() + seconds
        while monotonic() < end:
            self.relay.cycle()

    def _settle(self) -> None:
        """Until what had closed by now is there, and told."""
        end, self._until = monotonic() + SETTLE_SECONDS, self.exchange.closed
        while monotonic() < end and any(self._owes(symbol) for symbol in self.exchange.truth):
            self._turn_for(0.5)

    @property
    def _end(self) -> datetime:
        from tests.trading.exchange import MINUTE

        return self.exchange.opens()[0] + self._until * MINUTE

    def _owes(self, symbol: str) -> bool:
        from tests.trading.exchange import MINUTE

        return bool(self._missing(symbol)) or _told(symbol)[-1:] < [self._end - MINUTE]

    def _missing(self, symbol: str) -> int:
        from market.models import Candle

        return self._until - Candle.objects.filter(symbol__symbol=symbol, open_time__lt=self._end).count()


def _told(symbol: str) -> list[datetime]:
    """The open times of the candles that the agents were told about, in that order."""
    from tests.trading.exchange import MINUTE
    from trading.models import Message

    told = Message.objects.filter(symbol__symbol=symbol, type=Message.Type.MARKET_SNAPSHOT).order_by("pk")
    return [datetime.fromisoformat(payload["timestamp"]) - MINUTE for payload in told.values_list("payload", flat=True)]


def _candle(exchange: "FastExchange", series: Any, opened: datetime) -> tuple[Any, ...]:
    from tests.trading.exchange import MINUTE, as_candle

    time, candle = as_candle(series.bars[(opened - exchange.opens()[0]) // MINUTE])
    return time.to_pydatetime(), *candle.to_list()


@contextmanager
def soak(minute_seconds: float, fault_every: float, seconds: float, workers: int | None, seed: int) -> Iterator[Soak]:
    """An exchange with enough candles for so many seconds, and a relay that follows it."""
    from market.services import add_symbol
    from market.sources.bybit_stream import StreamTimeouts
    from tests.trading.exchange import FastExchange
    from trading.live.feeds import LIVE, Feeds
    from trading.live.markets import LiveMarkets
    from trading.runtime.pipeline import Pipeline
    from trading.runtime.streaming import Relay
    from trading.selectors.markets import Market

    # A loaded machine takes longer than it was given.
    future = int(3 * (seconds + SETTLE_SECONDS) / minute_seconds)
    with FastExchange(SYMBOLS, minute_seconds, future=future) as exchange:
        live = LiveMarkets(exchange.fetch(), _nobody_trades, 0.2, exchange.now, workers)
        pipeline = Pipeline(Feeds(LIVE, live), live=live)
        # The exchange's clock runs fast, and so a delay of half a second is one of minutes.
        skew = 3600.0
        patience = StreamTimeouts(
            answer=1.0, ping=0.5, silence=1.0, quiet=2.0, skew=skew, first_pause=0.05, longest_pause=1.0
        )
        relay = Relay(pipeline, exchange.stream.url.removesuffix("/v5/public/spot"), say=lambda line: None)
        relay.patience = patience
        markets = [Market(add_symbol(symbol), "1m") for symbol in SYMBOLS]
        relay.markets = lambda: markets
        witness = Witness(relay)
        try:
            yield Soak(exchange, relay, witness, fault_every, random.Random(seed))
        finally:
            relay.stop.set()


def _nobody_trades(symbol: Any) -> Any:
    raise AssertionError(f"a price of {symbol} was asked for")


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/soak.sqlite3")
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("flush", interactive=False, verbosity=0)
        seconds = options.minutes * 60
        begun, busy = monotonic(), process_time()
        with soak(options.candle_seconds, options.fault_every, seconds, None, options.seed) as running:
            running.run(seconds, print if options.verbose else lambda line: None)
            problems = running.wrong()
            print(f"{monotonic() - begun:.0f} s, {process_time() - busy:.0f} s of them busy; {running.counts()}")
            print(", ".join(f"{name} {count}" for name, count in sorted(running.done.items())))
            print(*running.late(), sep="\n")
    if problems:
        raise SystemExit("\n".join(problems))
    print("exactly the candles of the exchange")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--candle-seconds", type=float, default=0.1, help="how long a minute of the exchange takes")
    parser.add_argument("--fault-every", type=float, default=2.0, help="seconds of peace between two faults, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="a line for each fault")
    return parser.parse_args()


if __name__ == "__main__":
    main()
