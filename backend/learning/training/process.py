"""Training in a child process of low priority, so that it does not delay decisions.

The child receives candles, returns a model, and uses no database. The parent keeps its input open: when the parent
exits in any way, the input ends, and the child exits.
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
from learning.training.examples import PositionOutcome
from learning.training.fit import TrainingError
from learning.training.recipes import Recipe
from learning.training.train import TrainingResult, train_and_score

BACKEND = Path(__file__).resolve().parents[2]
MODULE = "learning.training.process"
NICENESS = 15
LONGEST_ERROR = 2000


class TrainingCrashed(RuntimeError):
    """The training process exited without a result."""


def train_in_process(
    recipe: Recipe, candles: pd.DataFrame, searched: bool = False, outcomes: Sequence[PositionOutcome] = ()
) -> TrainingResult:
    """`learning.training.train.train_and_score` in a child process. Raises TrainingError and TrainingCrashed."""
    command = [sys.executable, "-m", MODULE]
    environment = {**os.environ, "PYTHONPATH": str(BACKEND)}
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(  # noqa: S603
            command, cwd=BACKEND, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        with child:
            sink, source = cast(BinaryIO, child.stdin), cast(BinaryIO, child.stdout)
            # A child that has exited says why on its standard error.
            with suppress(BrokenPipeError):
                pairs = [(outcome.open_time.isoformat(), outcome.profit) for outcome in outcomes]
                _send(sink, {"recipe": asdict(recipe), "searched": searched, "outcomes": pairs}, candles)
            output = source.read()
        if child.returncode or not output:
            errors.seek(0)
            text = errors.read().decode(errors="replace").strip()[-LONGEST_ERROR:]
            raise TrainingCrashed(f"the training process ended with {child.returncode}: {text}")
    return _from_json(json.loads(output))


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


def _to_json(result: TrainingResult) -> dict[str, Any]:
    return {
        "recipe": asdict(result.recipe),
        "features": dict(result.features),
        "profile": dict(result.profile),
        "class_counts": result.class_counts,
        "first_time": result.first_time.isoformat(),
        "last_time": result.last_time.isoformat(),
        "data_hash": result.data_hash,
        "artefact": b64encode(result.artefact).decode(),
        "calibration": result.calibration.to_json(),
        "scores": dict(result.scores),
    }


def _from_json(stored: dict[str, Any]) -> TrainingResult:
    if "refused" in stored:
        raise TrainingError(stored["refused"])
    sell, hold, buy = stored["class_counts"]
    return TrainingResult(
        recipe=Recipe(**stored["recipe"]),
        features=stored["features"],
        profile=stored["profile"],
        class_counts=(sell, hold, buy),
        first_time=datetime.fromisoformat(stored["first_time"]),
        last_time=datetime.fromisoformat(stored["last_time"]),
        data_hash=stored["data_hash"],
        artefact=b64decode(stored["artefact"]),
        calibration=Calibration.from_json(stored["calibration"]),
        scores=stored["scores"],
    )


def _end_with_the_parent(source: BinaryIO) -> None:
    source.read()
    os._exit(1)


def main() -> None:
    # Sent to the whole process group by a terminal or a service; the parent ends this process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    order, candles = _receive(sys.stdin.buffer)
    Thread(target=_end_with_the_parent, args=(sys.stdin.buffer,), daemon=True).start()
    try:
        outcomes = [PositionOutcome(datetime.fromisoformat(time), profit) for time, profit in order["outcomes"]]
        output = _to_json(train_and_score(Recipe(**order["recipe"]), candles, order["searched"], outcomes))
    except TrainingError as error:
        output = {"refused": str(error)}
    sys.stdout.write(json.dumps(output))
    sys.stdout.flush()
    # Not a normal exit: the thread still reads and holds the lock of the input.
    os._exit(0)


if __name__ == "__main__":
    main()
