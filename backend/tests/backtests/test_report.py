import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from backtests.charts import MOST_CANDLES, MOST_MARKERS, MOST_POINTS, price_chart
from backtests.document import Document
from backtests.options import Model
from backtests.report import render
from backtests.report_file import ReportError, check_path, write_page
from backtests.runner import Result
from backtests.terminal import lines
from backtests.wording import MODELS
from tests.backtests.runs import cent_candles, document_of, options, read, result

LOADS = {"src", "href", "srcset", "data", "poster", "action"}


class Page(HTMLParser):
    """The tables and cards of a page, its script data, and whatever it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.metrics: dict[str, str] = {}
        self.data = ""
        self.text = ""
        self.loads: list[str] = []
        self._rows: list[list[str]] = []
        self._metric: str | None = None
        self._in: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        self.loads += [f"{tag} {value}" for name, value in attributes if name in LOADS and value]
        self._in = "data" if known.get("id") == "charts" else tag
        if tag in ("link", "iframe", "object", "embed", "base"):
            self.loads.append(tag)
        elif tag == "table":
            self._rows = self.tables.setdefault(known.get("id") or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag == "td":
            self._rows[-1].append("")
        elif "data-name" in known:
            self._metric = known["data-name"]

    def handle_endtag(self, tag: str) -> None:
        self._in = None if tag in ("script", "style", "td", "dd") else self._in

    def handle_data(self, text: str) -> None:
        if self._in == "data":
            self.data += text
        elif self._in in ("td", "code") and self._rows and self._rows[-1]:
            self._rows[-1][-1] += text.strip()
        elif self._in == "dd" and self._metric:
            self.metrics[self._metric] = text
            self._metric = None
        if self._in not in ("script", "style", "data"):
            self.text += text


def page_of(found: Result, notes: list[str] | None = None) -> Page:
    return Page(render(Document(found), notes or []))


@pytest.fixture(scope="module")
def trained() -> Result:
    return result(cent_candles(700, seed=4), start=300, model="gradient_boosting", confidence=0.3)


def test_the_page_holds_the_numbers_of_the_document(trained: Result):
    page, document = page_of(trained), document_of(trained)
    cells = [row for row in page.tables["trades"] if row]
    names = ("time", "symbol", "action", "price", "quantity", "commission", "slippage", "pnl", "reason")
    assert len(cells) == len(document["trades"]) > 10
    for row, trade in zip(cells, document["trades"], strict=True):
        known = ["" if trade[name] is None else str(trade[name]) for name in names]
        assert row == known
    assert {row[0]: int(row[1]) for row in page.tables["decisions"]} == document["decisions"]
    assert {row[0]: int(row[2]) for row in page.tables["refusals"]} == document["refusals"]
    assert Decimal(page.metrics["total_commission"].replace(",", "")) == document["metrics"]["total_commission"]
    assert page.metrics["return_percent"] == f"{document['return_percent']:,.2f} %"
    assert set(page.metrics) == set(document["metrics"])


def test_the_page_tells_when_its_models_were_trained(trained: Result):
    rows = [row for row in page_of(trained).tables["trainings"] if row]
    (one,) = trained.instruments
    assert len(rows) == len(one.trainings) == 2
    assert int(rows[0][1]) == one.trainings[0].rows_trained == sum(int(cell) for cell in rows[0][4:])


def test_the_charts_are_drawn_from_the_equity_of_the_document(trained: Result):
    charts, document = read(page_of(trained).data), document_of(trained)
    strategy = charts["equity"]["data"][1]
    assert strategy["name"] == "Strategy"
    assert list(zip(strategy["x"], strategy["y"], strict=True)) == [tuple(point) for point in document["equity"]]
    assert charts["price"]["data"][0]["type"] == "candlestick"


def test_the_page_loads_nothing_and_says_what_it_assumes(trained: Result):
    page = page_of(trained, ["3 gaps"])
    assert page.loads == []
    for words in ("filled at the open of the next one", "0.1 % commission", "Out of sample", "stop-loss 3 %", "3 gaps"):
        assert words in page.text


def test_what_comes_from_outside_is_escaped(trained: Result):
    text = render(Document(trained), ["</script><script>alert(1)</script>"])
    assert "<script>alert" not in text
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text


def test_a_page_about_nothing_opens_too():
    page = page_of(result(cent_candles(1)))
    assert "There was no trade" in page.text


@pytest.mark.parametrize("model", Model)
def test_every_model_has_a_name_on_page_and_terminal(model: Model):
    document = Document(replace(result(cent_candles(50)), options=options(model=model)))
    name = MODELS[model]
    assert name in Page(render(document, [])).text
    assert name in next(lines(document, []))


def test_many_candles_become_a_thinned_line():
    found = result(cent_candles(MOST_CANDLES * 4), fee_rate=Decimal(0), slippage=Decimal(0))
    line, *markers = price_chart(found, found.instruments[0])["data"]
    assert line["type"] == "scatter"
    assert len(line["x"]) <= MOST_POINTS
    assert sum(len(marker["x"]) for marker in markers) <= MOST_MARKERS


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing/report.html", "does not exist"),
        ("folder", "is a folder"),
        ("", "needs a file name"),
        ("x" * 300, "too long|cannot be written"),
        ("pipe", "not a regular file"),
    ],
)
def test_a_place_that_cannot_hold_a_report_is_refused_before_the_run(tmp_path: Path, name: str, words: str):
    import os

    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReportError, match=words):
        check_path(str(tmp_path / name) if name else name)


def test_a_page_appears_at_once_and_leaves_nothing_behind(tmp_path: Path):
    page = check_path(str(tmp_path / "report.html"))
    write_page(page, "one")
    write_page(page, "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "two")]


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ReportError):
        write_page(tmp_path / "report.html", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_title_of_the_browser_names_the_run(trained: Result):
    assert re.search(r"<title>BTCUSDT 1h backtest</title>", render(Document(trained), []))
