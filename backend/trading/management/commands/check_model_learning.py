"""`check_model_learning`: the models of every market, their numbers of decisions, and changes of champion."""

from typing import Any

from django.core.management import BaseCommand
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from learning.models import ModelVersion
from trading.management.accounts import symbol_of
from trading.selectors.models import Learning, learning_of

CHANGES_SHOWN = 5


class Command(BaseCommand):
    help = "Show the models of every market, what they have decided, and every change of champion."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", help="default: all that a model was trained for")

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        symbol = symbol_of(options["symbol"]).symbol if options["symbol"] else None
        found = learning_of(symbol)
        if not found:
            self.stdout.write("No model has been trained yet: ./photon up does, and so does ./photon train_model.")
        for learning in found:
            for line in described(learning):
                self.stdout.write(line)


def described(learning: Learning) -> list[str]:
    lines = [f"{learning.symbol} {learning.interval} {learning.name}"]
    if (champion := learning.champion) is None:
        lines.append("  champion    none: no model decides until a challenger is promoted")
    else:
        lines.append(f"  champion    {_version(champion, learning)}")
    lines += [f"  challenger  {_version(version, learning)}" for version in learning.challengers]
    retired = len(learning.versions) - len(learning.challengers) - (champion is not None)
    if retired:
        lines.append(f"  retired     {retired}")
    for change in learning.changes[:CHANGES_SHOWN]:
        before, after = _short(change.replaced), _short(change.version)
        lines.append(f"  {change.created_at:%Y-%m-%d %H:%M}  {change.kind}: {before} -> {after} ({change.reason})")
    return lines


def _version(version: ModelVersion, learning: Learning) -> str:
    decisions = learning.decisions[version.content_hash]
    until = f"learned {version.rows} candles until {version.last_time:%Y-%m-%d %H:%M}"
    return f"{_short(version)}  {until}, {decisions} decisions{_loss(version)}"


def _loss(version: ModelVersion) -> str:
    """Its log loss out of sample beside that of the best baseline."""
    if not version.scores:
        return ""
    losses = {name: scores["log_loss"] for name, scores in version.scores["baselines"].items()}
    best = min(losses, key=lambda name: float(losses[name]["value"]))
    own = version.scores["model"]["log_loss"]["value"]
    return f", log loss {own:.4f} beside {losses[best]['value']:.4f} ({best})"


def _short(version: ModelVersion | None) -> str:
    return "none" if version is None else version.content_hash[:8]
