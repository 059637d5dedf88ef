"""The fold over histories: against an oracle that shares no code with it, and by its promises."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import history
from engine.decide import choose
from engine.history import (
    AMOUNT,
    CLOSE,
    COMMISSION,
    COST,
    DECIDE,
    KINDS,
    LOTS,
    OPEN,
    PRICE,
    PROFIT,
    REASON,
    REQUESTED,
    ROW,
    Columns,
    Marks,
    Played,
    Series,
    simulate,
)
from engine.ledger import FLAT, opened
from engine.orders import BUY, HOLD, NO_DECISION, OUTCOMES, SELL, Code, Instrument, Reason, refusal_counts
from engine.terms import Costs, Limits, Policy, Rules, terms_of
from tests.engine.accounts import (
    CENTS,
    FREE,
    NO_COSTS,
    WHOLE,
    Market,
    accounts,
    limits,
    moody_probabilities,
    random_series,
    rules,
)
from tests.engine.oracle import Oracle, Trade
from tests.markets import real_candles

REASONS = list(Reason)
Account = tuple[list[Series], int]


def trades_of(played: Played, series: list[Series]) -> list[Trade]:
    trades = []
    for fill in played.fills.tolist():
        k = int(np.searchsorted(played.starts, fill[ROW], side="right")) - 1
        instrument = series[k].rules.instrument
        tick, lot, money = (
            Fraction(step) for step in (instrument.price_tick, instrument.lot_step, instrument.money_step)
        )
        trades.append(
            Trade(
                instrument=k,
                row=fill[ROW] - int(played.starts[k]),
                side="BUY" if fill[history.ACTION] == BUY else "SELL",
                reason=REASONS[fill[REASON]].value,
                quantity=fill[LOTS] * lot,
                requested=fill[REQUESTED] * tick,
                price=fill[PRICE] * tick,
                amount=fill[AMOUNT] * money,
                commission=fill[COMMISSION] * money,
                profit=fill[PROFIT] * money,
            )
        )
    return trades


def assert_agrees(played: Played, oracle: Oracle) -> None:
    series, money = oracle.series, oracle.money
    assert trades_of(played, series) == oracle.trades
    rows = [(k, row) for k, one in enumerate(series) for row in range(len(one.times))]
    assert [OUTCOMES[number] for number in played.outcomes] == [oracle.outcomes.get(row, "none") for row in rows]
    assert [int(equity) * money for equity in played.equity] == [oracle.equity_at_close[row] for row in rows]
    assert played.positions.tolist() == [oracle.open_at_close[row] for row in rows]
    assert played.account.cash * money == oracle.cash
    assert (played.account.peak * money, played.account.entries) == (oracle.peak, oracle.entries)
    assert played.account.commissions * money == sum(trade.commission for trade in oracle.trades)
    for k, held in enumerate(played.holdings):
        tick, lot = oracle.tick[k], oracle.lot[k]
        expected = oracle.positions.get(k)
        if expected is None:
            assert held == FLAT
            continue
        found = held.lots * lot, held.cost * money, held.mark * tick, held.stop * tick, held.target * tick
        assert found == (
            expected.quantity, expected.cost, expected.mark, expected.stop or 0, expected.target or 0,
        )  # fmt: skip
        if series[k].rules.policy.trailing_stop is not None:
            assert held.high * tick == expected.high


def played_and_expected(account: Account) -> tuple[Played, Oracle]:
    series, cash = account
    money = Fraction(series[0].rules.instrument.money_step)
    return simulate(series, cash), Oracle(series, cash * money).play()


@settings(max_examples=200)
@given(accounts())
def test_the_fold_does_what_the_oracle_does(account: Account) -> None:
    assert_agrees(*played_and_expected(account))


REAL = [("BTCUSDT_1h", "0.01"), ("SPY_1h", "0.01"), ("PEPEUSDT_1h", "0.00000001"), ("AAPL_1d", "0.05")]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(REAL), min_size=1, max_size=3),
    start=st.integers(0, 1500),
    rows=st.integers(1, 150),
    holes=st.lists(st.integers(1, 149), max_size=4),
    seed=st.integers(0, 10**6),
    stated=rules(),
)
def test_the_fold_does_what_the_oracle_does_on_real_candles(
    real_data: Path, names: list[tuple[str, str]], start: int, rows: int, holes: list[int], seed: int, stated: Rules
) -> None:
    series = []
    for k, (name, tick) in enumerate(names):
        candles = real_candles(real_data, name).iloc[start : start + rows]
        candles = candles.drop(candles.index[[hole for hole in holes if hole < len(candles)]])
        instrument = replace(stated.instrument, price_tick=Decimal(tick))
        probabilities = moody_probabilities(len(candles), seed + k)
        actions, confidence = choose(probabilities, stated.policy.confidence_threshold)
        prices = {name: instrument.tick_array(candles[name].to_numpy()) for name in ("open", "high", "low", "close")}
        length = 86400 if name.endswith("_1d") else 3600
        times = candles.index.as_unit("s").asi8
        one = Rules(instrument, stated.costs, stated.policy, stated.limits)
        series.append(
            Series(one, length, times, **prices, actions=actions, confidence=confidence, noise=confidence / 20)
        )
    assert_agrees(*played_and_expected((series, int(10_000 / stated.instrument.money_step))))


LIMITS = [
    Limits(Decimal(1)),
    Limits(Decimal("0.3"), max_exposure=Decimal("0.35")),
    Limits(Decimal(1), max_daily_loss=Decimal("0.002")),
    Limits(Decimal(1), max_drawdown=Decimal("0.02")),
    Limits(Decimal(1), max_entries_per_day=2, max_quote_age_seconds=0.0),
    Limits(Decimal(1), max_open_positions=1),
    Limits(Decimal(1), kill_switch=True),
]
LEVELS = [
    FREE,
    {**FREE, "stop_loss": 0.02, "take_profit": 0.03},
    {**FREE, "stop_loss": 0.02, "stop_fills_at_low": True},
    {**FREE, "trailing_stop": 0.0333333333, "take_profit": 0.2},
    {"stop_loss": 0.05, "take_profit": None, "trailing_stop": 0.03},
]


def busy_account(limits: Limits, levels: dict[str, float], count: int) -> Account:
    """Instruments of the same hours, that trade often: a fixed size that is too large now and then, and by equity."""
    series = []
    for k, lot in zip(range(count), ("0.00001", "0.025", "1"), strict=False):
        instrument = Instrument(f"X{k}", lot_step=Decimal(lot), minimum_notional=Decimal(500))
        quantity = Decimal("30") if k == 1 else None
        policy = Policy(**levels, quantity=quantity, max_position=1.0, risk_per_trade=1.0)
        market = Market(300, 100.0, 0.01, 3600, delay=0, gaps=0.05, eagerness=0.4)
        series.append(random_series(market, Rules(instrument, Costs(), policy, limits), seed=7 + k))
    return series, 1_000_000


def test_every_rule_bites_somewhere_and_as_in_the_oracle() -> None:
    reasons: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    for limited in LIMITS:
        for levels in LEVELS:
            for count in (1, 3):
                played, oracle = played_and_expected(busy_account(limited, levels, count))
                assert_agrees(played, oracle)
                reasons.update(trade.reason for trade in oracle.trades)
                refusals.update(refusal_counts(played.outcomes))
    assert set(reasons) == set(Reason) - {Reason.MANUAL}
    # A history sells what is held, never a part and never more.
    assert set(refusals) == set(Code) - {Code.EXCEEDS_POSITION}
    assert min(reasons.values()) > 20
    assert min(refusals.values()) > 5


@settings(max_examples=60)
@given(accounts())
def test_the_identity_holds_after_every_fill_and_cash_is_never_negative(account: Account) -> None:
    """Initial cash + realised profit = free cash + entry cost of the open positions."""
    series, initial = account
    played = simulate(series, initial)
    cash, realised, entry_cost = initial, 0, {}
    for fill in played.fills.tolist():
        k = int(np.searchsorted(played.starts, fill[ROW], side="right")) - 1
        if fill[history.ACTION] == BUY:
            assert k not in entry_cost
            entry_cost[k] = fill[AMOUNT] + fill[COMMISSION]
            cash -= entry_cost[k]
        else:
            assert entry_cost.pop(k) == fill[COST]
            cash += fill[AMOUNT] - fill[COMMISSION]
            realised += fill[PROFIT]
        assert cash >= 0
        assert initial + realised == cash + sum(entry_cost.values())
    assert (played.account.cash, played.account.realised) == (cash, realised)
    assert [held.cost for held in played.holdings] == [entry_cost.get(k, 0) for k in range(len(series))]
    assert played.account.open_positions == len(entry_cost)


def before(played: Played, stop: int) -> tuple[list[int], list[int], list[list[int]]]:
    """What the closes of the steps up to `stop` saw, and the fills so far."""
    rows = [step // KINDS for step in played.steps[:stop].tolist() if step % KINDS == CLOSE]
    known = {step for step in played.steps[:stop].tolist() if step % KINDS != DECIDE}
    fills = [fill for fill in played.fills.tolist() if {fill[ROW] * KINDS + OPEN, fill[ROW] * KINDS + CLOSE} <= known]
    return [played.equity[row] for row in rows], [played.positions[row] for row in rows], fills


@settings(max_examples=60)
@given(accounts(), st.integers(0, 200), st.integers(0, 10**6))
def test_what_comes_later_changes_nothing_before(account: Account, moment: int, seed: int) -> None:
    """Every candle that opens after a moment is replaced by another one, with another decision."""
    series, cash = account
    played = simulate(series, cash)
    if not len(played.steps):
        return
    stop = min(moment, len(played.steps) - 1)
    opened_ = {step // KINDS for step in played.steps[: stop + 1].tolist()}
    changed = []
    for k, one in enumerate(series):
        other = random_series(Market(len(one.times), 7.0, 0.3, one.length, 0, 0.0, 0.3), one.rules, seed + k)
        first = sum(row in opened_ for row in range(int(played.starts[k]), int(played.starts[k + 1])))
        columns = {
            name: np.concatenate([getattr(one, name)[:first], getattr(other, name)[first:]])
            for name in ("open", "high", "low", "close", "actions", "confidence", "noise")
        }
        changed.append(replace(one, **columns))
    again = simulate(changed, cash, steps=played.steps)
    assert before(again, stop + 1) == before(played, stop + 1)


def played_in_parts(account: Account, played: Played, cuts: list[int]) -> Played:
    """The recorded steps up to each cut, with nothing but the stored state between."""
    series, cash = account
    rows, count = int(played.starts[-1]), len(series)
    names = Columns._fields[1:]
    values = [np.concatenate([getattr(one, name) for one in series]).tolist() for name in names]
    instruments = [k for k, one in enumerate(series) for _ in one.times]
    marks = Marks(np.zeros(rows, object), np.zeros(rows, np.int32), np.zeros(rows, np.int8))
    state = np.array(opened(cash), object), np.array([FLAT] * count, object), np.full((count, 2), NO_DECISION, object)
    fills, filled, first = np.zeros((len(played.fills) + 1, history.LOGGED), object), 0, 0
    lengths, terms = [one.length for one in series], [terms_of(one.rules) for one in series]
    for cut in [*sorted(cuts), len(played.steps)]:
        steps = played.steps[:cut].tolist()
        if first < len(steps):
            first, filled, stopped = history.play(
                steps, first, Columns(instruments, *values), played.starts, lengths, terms, *state, marks, fills, filled
            )
            assert (first, stopped) == (len(steps), history.DONE)
    account_, holdings, _ = state
    return replace(
        played,
        account=history.Books(*account_),
        holdings=tuple(history.Holding(*held) for held in holdings),
        equity=marks.equity,
        positions=marks.positions,
        outcomes=marks.outcomes,
        fills=fills[:filled],
    )


def assert_same(left: Played, right: Played) -> None:
    assert (left.account, left.holdings) == (right.account, right.holdings)
    for name in ("starts", "steps", "equity", "positions", "outcomes", "fills"):
        assert getattr(left, name).tolist() == getattr(right, name).tolist(), name


@settings(max_examples=60)
@given(accounts(), st.lists(st.integers(0, 540), max_size=3))
def test_a_history_in_parts_is_the_whole(account: Account, cuts: list[int]) -> None:
    played = simulate(*account)
    assert_same(played_in_parts(account, played, [min(cut, len(played.steps)) for cut in cuts]), played)


@settings(max_examples=40)
@given(accounts())
def test_the_recorded_order_gives_the_same_again(account: Account) -> None:
    played = simulate(*account)
    assert_same(simulate(*account, steps=played.steps), played)
    assert_same(simulate(*account, steps=played.steps.astype(np.int64)), played)


@settings(max_examples=40)
@given(accounts(most=2, largest=20), st.randoms(use_true_random=False))
def test_any_order_of_arrival_keeps_the_books(account: Account, random) -> None:
    """Live, the candles of two markets are handled in whatever order they come."""
    series, cash = account
    starts = np.cumsum([0, *(len(one.times) for one in series)])
    waiting = [
        [row * KINDS + kind for row in range(starts[k], starts[k + 1]) for kind in (OPEN, CLOSE, DECIDE)]
        for k in range(len(series))
    ]
    order = []
    while any(waiting):
        order.append(random.choice([steps for steps in waiting if steps]).pop(0))
    played = simulate(series, cash, steps=np.array(order, dtype=np.int64))
    open_cost = sum(held.cost for held in played.holdings)
    assert cash + played.account.realised == played.account.cash + open_cost
    assert played.account.cash >= 0


def moments(series: list[Series], starts: np.ndarray) -> dict[int, tuple[int, int, int]]:
    """The instrument, the time of the open and that of the close of every row."""
    found = {}
    for k, one in enumerate(series):
        times = one.times.tolist()
        for number, opens in enumerate(times):
            closes = min([opens + one.length, *times[number + 1 : number + 2]])
            found[int(starts[k]) + number] = k, opens, closes
    return found


@settings(max_examples=60)
@given(accounts())
def test_candles_are_interleaved_in_the_stated_order(account: Account) -> None:
    series, cash = account
    played = simulate(series, cash)
    known, steps = moments(series, played.starts), played.steps.tolist()
    actions = np.concatenate([one.actions for one in series]).tolist()
    assert len(steps) == 3 * len(known)
    for k in range(len(series)):
        own = [step for step in steps if known[step // KINDS][0] == k]
        assert own == [row * KINDS + kind for row in range(played.starts[k], played.starts[k + 1]) for kind in range(3)]

    def rank(step: int) -> tuple[int, int, int, int]:
        k, opens, closes = known[step // KINDS]
        if step % KINDS != OPEN:
            return closes, step % KINDS, 0, k
        row = step // KINDS
        sells = row > played.starts[k] and actions[row - 1] == SELL
        return opens, DECIDE + 1, 0 if sells else 1, k

    assert all(rank(earlier) < rank(later) for earlier, later in pairwise(steps))


def hand_made(opens: list[int], actions: list[int], rules: Rules, **columns: list[int]) -> Series:
    """Hourly candles that are one price each, where nothing else is said."""
    prices = {name: np.array(columns.get(name, opens), dtype=np.int64) for name in ("high", "low", "close")}
    n = len(opens)
    return Series(
        rules, 3600, np.arange(n) * 3600, np.array(opens, dtype=np.int64), prices["high"], prices["low"],
        prices["close"], np.array(actions, dtype=np.int8), np.ones(n), np.zeros(n),
    )  # fmt: skip


LETTERS = {"S": SELL, "H": HOLD, "B": BUY, "-": NO_DECISION}


def all_in(instrument: Instrument = CENTS, limits: Limits = WHOLE, **policy: object) -> Rules:
    return Rules(instrument, Costs(), Policy(**{**FREE, "max_position": 1.0, **policy}), limits)


def play_letters(
    actions: str, rules: Rules | None = None, opens: list[int] | None = None, **columns: list[int]
) -> Played:
    series = hand_made(
        opens or [10_000] * len(actions), [LETTERS[letter] for letter in actions], rules or all_in(), **columns
    )
    return simulate([series], 1_000_000)


def test_a_decision_is_filled_at_the_open_of_the_next_candle() -> None:
    played = play_letters("BHSHH", opens=[9000, 9100, 9200, 9300, 9400], low=[8000] * 5, high=[11_000] * 5)
    assert [(fill[ROW], fill[REQUESTED]) for fill in played.fills] == [(1, 9100), (3, 9300)]


def test_the_last_decision_stays_pending() -> None:
    played = play_letters("HB")
    assert (len(played.fills), [OUTCOMES[number] for number in played.outcomes]) == (0, ["hold", "pending"])


def test_every_decision_has_one_outcome() -> None:
    played = play_letters("-SBBHSSH")
    assert [OUTCOMES[number] for number in played.outcomes] == [
        "none", "no_position", "executed", "position_open", "hold", "executed", "no_position", "pending",
    ]  # fmt: skip
    assert refusal_counts(played.outcomes) == {"no_position": 2, "hold": 1, "position_open": 1}


def test_a_decision_waits_for_the_next_open_across_candles_without_one() -> None:
    played = play_letters("B--S-")
    assert [OUTCOMES[number] for number in played.outcomes] == ["executed", "none", "none", "executed", "none"]


def test_an_entry_can_be_stopped_in_its_own_candle() -> None:
    played = play_letters("BHH", all_in(stop_loss=0.05), low=[10_000, 9000, 10_000])
    assert [(fill[ROW], REASONS[fill[REASON]]) for fill in played.fills] == [(1, Reason.SIGNAL), (1, Reason.STOP_LOSS)]


def test_after_a_stop_the_next_buy_enters_again() -> None:
    played = play_letters("BBBBB", all_in(stop_loss=0.05), low=[10_000, 10_000, 9000, 10_000, 10_000])
    assert [fill[ROW] for fill in played.fills] == [1, 2, 3]


def test_the_kill_switch_refuses_every_entry() -> None:
    played = play_letters("BBBBB", all_in(limits=Limits(kill_switch=True)))
    assert refusal_counts(played.outcomes) == {Code.KILL_SWITCH.value: 4}
    assert played.account == opened(1_000_000)._replace(day=0)


def test_without_candles_nothing_happens() -> None:
    played = play_letters("")
    assert (len(played.fills), played.account, played.outcomes.size) == (0, opened(1_000_000), 0)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_short_histories_are_played(rows: int) -> None:
    played = play_letters("B" * rows)
    assert len(played.fills) == (1 if rows > 1 else 0)
    assert played.equity.size == rows


def test_a_sale_of_one_instrument_pays_for_the_entry_of_another() -> None:
    """Both decisions meet the same moment: the sale comes first, although its instrument is the second."""
    rules = Rules(CENTS, NO_COSTS, Policy(**FREE, quantity=Decimal(100)), WHOLE)
    first = hand_made([10_000] * 4, [HOLD, HOLD, BUY, HOLD], rules)
    second = hand_made([10_000] * 4, [BUY, HOLD, SELL, HOLD], rules)
    played = simulate([first, second], 1_000_000)
    assert [(fill[ROW], fill[history.ACTION]) for fill in played.fills] == [(5, BUY), (7, SELL), (3, BUY)]


def test_limits_look_across_the_instruments() -> None:
    both = Limits(Decimal(1), max_exposure=Decimal("0.6"))
    rules = Rules(CENTS, NO_COSTS, Policy(**FREE, quantity=Decimal(50)), both)
    played = simulate([hand_made([10_000] * 3, [BUY, HOLD, HOLD], rules)] * 2, 1_000_000)
    assert refusal_counts(played.outcomes) == {"hold": 2, "exposure_limit": 1}
    assert played.positions.tolist() == [0, 1, 1, 0, 1, 1]


@pytest.mark.parametrize("steps", [[-1], [8], [3]])
def test_steps_of_other_candles_are_refused(steps: list[int]) -> None:
    with pytest.raises(ValueError, match="belong to none"):
        simulate([hand_made([100] * 2, [HOLD] * 2, all_in())], 1000, steps=np.array(steps))


def test_an_account_counts_in_the_finest_money_step_of_its_instruments() -> None:
    satoshis = Instrument("ETHBTC", money_step=Decimal("0.00000001"))
    fixed = Rules(CENTS, Costs(), Policy(**FREE, quantity=Decimal(3)), WHOLE)
    own = hand_made([100, 110, 125, 120], [BUY, HOLD, SELL, HOLD], fixed)
    alone = simulate([own], 100_000)
    beside = simulate([own, hand_made([100], [HOLD], all_in(satoshis))], 100_000 * 10**6)
    assert beside.account.cash == alone.account.cash * 10**6 != 100_000 * 10**6
    assert beside.equity[:4].tolist() == [equity * 10**6 for equity in alone.equity.tolist()]
    assert (beside.fills[:, [AMOUNT, COMMISSION, PROFIT]] == alone.fills[:, [AMOUNT, COMMISSION, PROFIT]] * 10**6).all()


def test_a_longer_list_of_fills_than_the_first_guess_is_kept() -> None:
    played = play_letters("BS" * 1500, Rules(CENTS, NO_COSTS, Policy(**FREE), WHOLE))
    assert len(played.fills) == 2999
    assert played.account.cash + played.account.worth == 1_000_000


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 119), rules=rules(), shared=limits())
def test_a_history_that_ends_earlier_is_the_beginning_of_the_whole(
    seed: int, cut: int, rules: Rules, shared: Limits
) -> None:
    """Cut the history anywhere: outcomes and trades up to there stay, save the decision that now is the last."""
    rules = Rules(rules.instrument, rules.costs, rules.policy, shared)
    whole = random_series(Market(120, 100.0, 0.01, 3600, 0, 0.05, 0.4), rules, seed)
    columns = ("times", "open", "high", "low", "close", "actions", "confidence", "noise")
    part = replace(whole, **{name: getattr(whole, name)[:cut] for name in columns})
    long, short = simulate([whole], 1_000_000), simulate([part], 1_000_000)
    assert short.outcomes[:-1].tolist() == long.outcomes[: cut - 1].tolist()
    assert short.fills.tolist() == [fill for fill in long.fills.tolist() if fill[ROW] < cut]
    assert short.equity.tolist() == long.equity[:cut].tolist()
