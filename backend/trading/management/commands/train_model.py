"""`train_model`: a model for a market, trained now and scored beside its baselines."""

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.core.management.base import CommandParser

from config.embedded import prepare_embedded_database
from engine.candles import INTERVALS, CandleError
from engine.orders import Action
from learning.choice import DEFAULT_HORIZON, ModelChoice
from learning.models import ModelVersion
from learning.recipes import Recipe, RecipeError
from learning.services import promote, train_version
from learning.training import TrainingError
from market.errors import MarketError
from trading.management.accounts import symbol_of
from trading.runtime.pipeline import make_pipeline
from trading.selectors.markets import Market
from trading.training.trainer import recipe_for

FIGURES = ("accuracy", "balanced_accuracy", "log_loss", "brier")


class Command(BaseCommand):
    help = "Train a model on the stored candles of a market; they are fetched first if there are none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", required=True)
        parser.add_argument("--interval", default=settings.DEFAULT_INTERVAL, choices=list(INTERVALS))
        parser.add_argument("--model-type", default="random_forest", help="an algorithm (default %(default)s)")
        parser.add_argument("--horizon", type=int, default=DEFAULT_HORIZON, help="candles ahead (default %(default)s)")
        parser.add_argument("--history", type=int, help="the newest candles to learn from (default: up to 100,000)")
        parser.add_argument("--seed", type=int, help="default: that of the recipe")
        parser.add_argument("--search", action="store_true", help="search for better trees first (ten times as long)")
        parser.add_argument("--promote", action="store_true", help="make it the champion at once")

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_embedded_database()
        market = Market(symbol_of(options["symbol"]), options["interval"])
        try:
            recipe = self._recipe(options)
            make_pipeline().prepare_training(market)
            version = train_version(market.symbol, market.interval, recipe, searched=options["search"])
            if options["promote"] and version.status != ModelVersion.Status.CHAMPION:
                promote(version, "by hand")
        except (RecipeError, TrainingError, MarketError, CandleError) as error:
            raise CommandError(str(error)) from error
        for line in described(version):
            self.stdout.write(line)

    def _recipe(self, options: dict[str, Any]) -> Recipe:
        choice = ModelChoice(options["model_type"], options["horizon"], options["history"])
        recipe = recipe_for(str(choice))
        return recipe if options["seed"] is None else replace(recipe, seed=options["seed"])


def described(version: ModelVersion) -> list[str]:
    """Its training data, and its scores beside the baselines."""
    lines = [
        f"{version.name} for {version.symbol} at {version.interval}: {version.status}",
        f"  hash      {version.content_hash}",
        f"  candles   {version.first_time:%Y-%m-%d %H:%M} to {version.last_time:%Y-%m-%d %H:%M}",
        f"  learned   from {version.rows} of them: {_counted(version.class_counts)}",
    ]
    if not version.scores:
        return [*lines, "  scores    none: the history is too short to hold a part of it back"]
    lines.append(f"  scores    out of sample, {version.scores['rows']} candles in {version.scores['folds']} folds")
    lines.append(" " * 22 + "".join(f"{name:>20}" for name in FIGURES))
    rows = {"model": version.scores["model"], **version.scores["baselines"]}
    lines += [f"    {name:<18}" + "".join(_figure(row.get(figure)) for figure in FIGURES) for name, row in rows.items()]
    return lines


def _figure(value: Any) -> str:
    """A figure, or the value of an interval."""
    if isinstance(value, dict):
        value = value.get("value")
    return f"{'-':>20}" if value is None else f"{value:>20.4f}"


def _counted(class_counts: list[int]) -> str:
    return ", ".join(f"{count} {action.name}" for action, count in zip(Action, class_counts, strict=False))
