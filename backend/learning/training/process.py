"""Training in a process of its own, so that it never delays a decision: no shared interpreter, and a low priority.

The child gets candles, gives back a model, and knows no database. Its input stays open until it has answered: when the
parent is gone, however it went, the input ends and the child with it.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd

from engine.candles import COLUMNS
from learning.training.calibration import Calibration
from learning.training.fit import TrainingError
from learning.training.making import Made, make_model
from learning.training.outcomes import Outcome
from learning.training.recipes import Recipe

BACKEND = Path(__file__).resolve().parents[2]
MODULE = "learning.training.process"
NICENESS = 15
TOLD_OF_A_CRASH = 2000


class TrainingCrashed(RuntimeError):
    """The process that trained is gone without an answer."""


def make_model_apart(
    recipe: Recipe, candles: pd.DataFrame, searched: bool = False, outcomes: Sequence[Outcome] = ()
) -> Made:
    """As `learning.training.making.make_model`, in a child process. Raises TrainingError, and TrainingCrashed."""
    command = [sys.executable, "-m", MODULE]
    environment = {**os.environ, "PYTHONPATH": str(BACKEND)}
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(  # noqa: S603
            command, cwd=BACKEND, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        with child:
            sink, source = cast(BinaryIO, child.stdin), cast(BinaryIO, child.stdout)
            # What it died of, if it did, stands in its errors.
            with suppress(BrokenPipeError):
                _send(sink, {"recipe": asdict(recipe), "searched": searched, "outcomes": _plain(outcomes)}, candles)
            answer = source.read()
        if child.returncode or not answer:
            errors.seek(0)
            told = errors.read().decode(errors="replace").strip()[-TOLD_OF_A_CRASH:]
            raise TrainingCrashed(f"the training process ended with {child.returncode}: {told}")
    return _made(json.loads(answer))


def _plain(outcomes: Sequence[Outcome]) -> list[tuple[str, float]]:
    return [(outcome.open_time.isoformat(), outcome.profit) for outcome in outcomes]


def _outcomes(told: Sequence[tuple[str, float]]) -> list[Outcome]:
    return [Outcome(datetime.fromisoformat(time), profit) for time, profit in told]


def _send(sink: BinaryIO, order: dict[str, Any], candles: pd.DataFrame) -> None:
    times = pd.DatetimeIndex(candles.index).as_unit("us").asi8
    parts = [json.dumps(order).encode(), times.tobytes(), candles[list(COLUMNS)].to_numpy(np.float64).tobytes()]
    for part in parts:
        sink.write(struct.pack("<Q", len(part)) + part)
    sink.flush()


def _receive(source: BinaryIO) -> tuple[dict[str, Any], pd.DataFrame]:
    order, times, values = (source.read(*struct.unpack("<Q", source.read(8))) for _ in range(3))
    index = pd.DatetimeIndex(np.frombuffer(times, np.int64).astype("datetime64[us]"), name="open_time").tz_localize(
        "UTC"
    )
    columns = np.frombuffer(values, np.float64).reshape(len(index), len(COLUMNS))
    return json.loads(order), pd.DataFrame(columns.copy(), index=index, columns=list(COLUMNS))


def _told(made: Made) -> dict[str, Any]:
    return {
        "recipe": asdict(made.recipe),
        "features": dict(made.features),
        "profile": dict(made.profile),
        "class_counts": made.class_counts,
        "first_time": made.first_time.isoformat(),
        "last_time": made.last_time.isoformat(),
        "data_hash": made.data_hash,
        "artefact": b64encode(made.artefact).decode(),
        "calibration": made.calibration.to_json(),
        "scores": dict(made.scores),
    }


def _made(told: dict[str, Any]) -> Made:
    if "refused" in told:
        raise TrainingError(told["refused"])
    sell, hold, buy = told["class_counts"]
    return Made(
        recipe=Recipe(**told["recipe"]),
        features=told["features"],
        profile=told["profile"],
        class_counts=(sell, hold, buy),
        first_time=datetime.fromisoformat(told["first_time"]),
        last_time=datetime.fromisoformat(told["last_time"]),
        data_hash=told["data_hash"],
        artefact=b64decode(told["artefact"]),
        calibration=Calibration.from_json(told["calibration"]),
        scores=told["scores"],
    )


def _end_with_the_parent(source: BinaryIO) -> None:
    source.read()
    os._exit(1)


def main() -> None:
    # They reach the whole group of a terminal or of a service; the parent decides when this is over.
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.SIG_IGN)
    os.nice(NICENESS)
    order, candles = _receive(sys.stdin.buffer)
    Thread(target=_end_with_the_parent, args=(sys.stdin.buffer,), daemon=True).start()
    try:
        answer = _told(make_model(Recipe(**order["recipe"]), candles, order["searched"], _outcomes(order["outcomes"])))
    except TrainingError as error:
        answer = {"refused": str(error)}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    # Not through the interpreter's end: the thread above still reads, and holds the lock of the input.
    os._exit(0)


if __name__ == "__main__":
    main()
