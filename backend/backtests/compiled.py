"""The loops of `engine.history` compiled by Numba: the same source, on 64 bits.

Importing Numba and loading its own cache takes longer than a million candles do. So the machine code is kept in a file
and loaded by llvmlite alone. The name of the file is a hash of the sources, of the versions and of the processor: a
change of any of them compiles anew. It begins with a hash of the rest, because LLVM does not survive a damaged one.
"""

import ctypes
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from engine import account, decide, fills, history, ledger, orders, protect, risk, terms
from engine.history import LOGGED, Columns, Machine, Marks
from engine.terms import FLOAT_TERMS, Terms
from web.files import write_atomically

SOURCES = (orders, terms, fills, protect, ledger, risk, decide, account, history)
RULES: tuple[Callable[..., Any], ...] = (
    *(fills.ceil_div, fills.buy_price, fills.sell_price, fills.amount_paid, fills.amount_received, fills.commission),
    *(protect.stop_level, protect.target_level, protect.trailing_level, protect.first_exit),
    *(ledger._rounded_share, ledger.bought, ledger.sold, ledger.marked),
    *(risk.entry_refusal, decide.risk_score, decide.proposed_lots),
    *(account.without_fill, account.begin_day, account.sell, account.buy),
    *(
        account.at_open,
        account.within,
        account.at_close,
        account.candle,
        history._wide,
        history._loaded,
        history._close_time,
    ),
)
Code = list[tuple[str, bytes]]
"""The name of each loop's function, and its object file."""

TERMS = np.dtype([(name, np.float64 if name in FLOAT_TERMS else np.int64) for name in Terms._fields])
PRICES = {np.dtype(np.int32): "int32", np.dtype(np.int64): "int64"}
DIGEST = 32

WORTH_LOADING, WORTH_COMPILING = 20_000, 300_000
"""For so many candles Python needs as long as loading the compiled loops takes, or as compiling them does."""


def machine_for(rows: int, prices: "np.dtype[Any]") -> Machine | None:
    """What runs a history of so many candles the soonest; None for Python itself."""
    kind = PRICES.get(prices)
    if kind is None or rows < WORTH_LOADING:
        return None
    try:
        if rows < WORTH_COMPILING and not _path(kind).exists():
            return None
        return _machine(kind)
    except ImportError as error:
        # A result in minutes is better than none.
        sys.stderr.write(f"a long history is played by Python, which takes minutes: {error}\n")
        return None


@cache
def _machine(prices: str) -> Machine:
    path = _path(prices)
    code = _read(path)
    if code is None:
        sys.stderr.write("compiling the loops for long histories, once on this machine\n")
        code = _compiled(prices)
        # Where nothing can be written, the next process compiles again.
        with suppress(OSError):
            _write(path, code)
    addresses = [_address(*part) for part in code]
    native_interleave = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 6, *[ctypes.c_int64] * 2)(addresses[0])
    native_play = ctypes.CFUNCTYPE(None, *_PLAY_ARGUMENTS)(addresses[1])

    def interleave(starts: Any, times: Any, lengths: Any, actions: Any, rows: Any, steps: Any) -> int:
        arrays = (starts, times, lengths, actions, rows, steps)
        return int(native_interleave(*(array.ctypes.data for array in arrays), len(times), len(lengths)))

    def play(
        steps: Any, first: int, columns: Columns, starts: Any, lengths: Any, terms: Sequence[Terms], account: Any,
        holdings: Any, pending: Any, marks: Marks, fills: Any, filled: int,
    ) -> tuple[int, int, int]:  # fmt: skip
        result = np.empty(3, np.int64)
        arrays = [*columns, starts, lengths, np.array(terms, TERMS), account, holdings, pending, *marks, fills]
        sizes = (len(fills), filled, len(columns.times), len(terms))
        pointers = [_pointer(array) for array in arrays]
        native_play(_pointer(steps), len(steps), first, *pointers, *sizes, _pointer(result))
        step, filled, stopped = result.tolist()
        return step, filled, stopped

    return Machine(interleave, play, np.dtype(prices))


# Steps with their number and the first; 9 columns, 7 arrays of state, 3 of marks, fills; 4 sizes; the result.
_PLAY_ARGUMENTS = (
    *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64),
    *[ctypes.c_void_p] * 19,
    *[ctypes.c_int64] * 4,
    ctypes.c_void_p,
)


def _pointer(array: Any) -> int:
    if not array.flags.c_contiguous:
        raise ValueError("compiled code needs arrays without gaps")
    return int(array.ctypes.data)


@cache
def _address(name: str, code: bytes) -> int:
    """Where the function of an object file is, once it is loaded."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(""), llvm.Target.from_default_triple().create_target_machine()
    )
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _ENGINES.append(engine)
    return int(engine.get_function_address(name))


_ENGINES: list[Any] = []
"""What holds the loaded code in memory."""


def _path(prices: str) -> Path:
    import llvmlite.binding as llvm

    known = [prices, platform.python_version(), version("numba"), version("llvmlite"), version("numpy")]
    known += [llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    sources = [Path(str(module.__file__)).read_bytes() for module in SOURCES]
    digest = sha256(b"\0".join([*sources, Path(__file__).read_bytes(), *(text.encode() for text in known)]))
    return Path(settings.COMPILED_DIR) / f"{digest.hexdigest()[:32]}.o"


def _write(path: Path, code: Code) -> None:
    """Lines of name and length, an empty line, and the object files; all of it after a hash of it."""
    head = "".join(f"{name} {len(part)}\n" for name, part in code) + "\n"
    content = head.encode() + b"".join(part for _, part in code)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, sha256(content).digest() + content)


def _read(path: Path) -> Code | None:
    """None where there is no file that can be read, or a damaged one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, content = content[:DIGEST], content[DIGEST:]
    if sha256(content).digest() != digest:
        return None
    head, _, rest = content.partition(b"\n\n")
    code = []
    for line in head.decode().splitlines():
        name, length = line.rsplit(" ", 1)
        code.append((name, rest[: int(length)]))
        rest = rest[int(length) :]
    return code


def _compiled(prices: str) -> Code:
    """The machine code of both loops, which takes some seconds."""
    import numba
    from numba import carray, types
    from numba.extending import register_jitable

    for rule in RULES:
        register_jitable(rule)
    interleave = numba.njit(error_model="numpy")(history.interleave)
    play = numba.njit(error_model="numpy")(history.play)
    i8, i32, i64, f64 = (types.CPointer(kind) for kind in (types.int8, types.int32, types.int64, types.float64))
    price, size = types.CPointer(numba.from_dtype(np.dtype(prices))), types.int64
    record = types.CPointer(numba.from_dtype(TERMS))

    @numba.cfunc(types.int64(i64, i64, i64, i8, i64, i32, size, size), error_model="numpy")
    def interleaved(starts, times, lengths, actions, rows, steps, n, count):
        return interleave(
            carray(starts, count + 1), carray(times, n), carray(lengths, count), carray(actions, n),
            carray(rows, count), carray(steps, 3 * n),
        )  # fmt: skip

    @numba.cfunc(
        types.void(
            i32, size, size, i32, i64, price, price, price, price, i8, f64, f64, i64, i64, record, i64, i64, i64,
            i64, i32, i8, i64, size, size, size, size, i64,
        ),
        error_model="numpy",
    )  # fmt: skip
    def played(
        steps, n_steps, first, instruments, times, open_, high, low, close, actions, confidence, noise, starts, lengths,
        terms, account, holdings, pending, equity, positions, outcomes, fills, capacity, filled, n, count, result,
    ):  # fmt: skip
        columns = Columns(
            carray(instruments, n), carray(times, n), carray(open_, n), carray(high, n), carray(low, n),
            carray(close, n), carray(actions, n), carray(confidence, n), carray(noise, n),
        )  # fmt: skip
        marks = Marks(carray(equity, n), carray(positions, n), carray(outcomes, n))
        found = play(
            carray(steps, n_steps), first, columns, carray(starts, count + 1), carray(lengths, count),
            carray(terms, count), carray(account, 9), carray(holdings, (count, 8)), carray(pending, (count, 2)),
            marks, carray(fills, (capacity, LOGGED)), filled,
        )  # fmt: skip
        said = carray(result, 3)
        said[0], said[1], said[2] = found

    loops: tuple[Any, ...] = (interleaved, played)
    return [(loop._wrapper_name, loop._library._get_compiled_object()) for loop in loops]
