"""Small candle files for the tests."""

from pathlib import Path

HEADER = "timestamp,open,high,low,close,volume"
HOURS = [f"2024-03-01T{hour:02}:00:00Z" for hour in range(24)]
VALUES = "100,110.5,90,105.25,12.5"


def lines(times: list[str] | None = None, values: str = VALUES) -> list[str]:
    """A header and a candle for each time: the first candle stands on line 2."""
    return [HEADER, *(f"{time},{values}" for time in times or HOURS[:5])]


def changed(line: int, text: str) -> list[str]:
    """The usual file with another text on a line."""
    content = lines()
    content[line - 1] = text
    return content


def write(folder: Path, content: bytes | str | list[str], name: str = "BTCUSDT_1h.csv") -> Path:
    if isinstance(content, list):
        content = "\n".join(content) + "\n"
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def seconds(hour: int) -> int:
    return 1709251200 + 3600 * hour
