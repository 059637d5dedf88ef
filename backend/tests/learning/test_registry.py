"""Versions of models: what is kept of them, who of them decides, and what is refused."""

import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from django.db import IntegrityError, transaction

from engine.features import FEATURE_VERSION, FEATURES
from learning.models import ModelArtefact, ModelVersion, Promotion
from learning.registry import services
from learning.registry.selectors import champion, is_missing, newest_version, predecessor, serving_candidates
from learning.registry.services import promote, register, retire, roll_back, train_version
from learning.registry.stored import ModelUnusable, OldFeatures, TamperedModel, content_hash, load
from learning.training.fit import OneClassOnly, TooFewRows, TrainingError
from learning.training.recipes import Recipe
from learning.training.train import TrainingResult
from learning.trees.artefacts import Scorer, artefact_hash
from market.models import Symbol
from market.services import store_candles
from tests.learning.made import HISTORY, NAME, bitcoin, candles, made, registered, snapshot
from tests.markets import assert_same_bits, made_candles

pytestmark = pytest.mark.django_db

STATUS = ModelVersion.Status


def decides() -> ModelVersion | None:
    return champion(bitcoin(), "1h", NAME)


def old_features() -> ModelVersion:
    """Registered when features were computed otherwise."""
    return register(bitcoin(), "1h", replace(made(), features={**made().features, "version": FEATURE_VERSION - 1}))


def test_a_version_says_what_it_was_made_of():
    version = registered()
    assert (version.name, version.algorithm, version.status) == ("random_forest", "random_forest", STATUS.CHAMPION)
    assert version.features == {"form": "stationary", "version": FEATURE_VERSION, "names": list(FEATURES)}
    assert (version.first_time, version.last_time) == (candles().index[0], candles().index[HISTORY - 1])
    assert version.rows == sum(version.class_counts) > 100
    assert {"model", "baselines", "reliability", "economy"} <= set(version.scores)
    assert (version.recipe["seed"], len(version.content_hash), len(version.artefact_hash)) == (42, 64, 64)


def test_it_answers_as_it_was_trained():
    model, fresh, matrix = load(registered()), made(), np.arange(14.0).reshape(1, 14)
    assert_same_bits(model.raw(matrix), Scorer.load(fresh.artefact).probabilities(matrix))
    assert model.calibration == fresh.calibration


def test_a_list_of_versions_never_reads_the_trees(django_assert_num_queries):
    registered()
    with django_assert_num_queries(1) as asked:
        assert len(ModelVersion.objects.all()) == 1
    assert "modelartefact" not in asked.captured_queries[0]["sql"]


def test_training_twice_gives_the_same_version():
    store_candles(bitcoin(), "1h", candles().iloc[:HISTORY], "csv")
    first, second = (train_version(bitcoin(), "1h", Recipe(trees=4, folds=2)) for _ in range(2))
    assert first == second == registered()
    assert first.content_hash == registered().content_hash
    assert Promotion.objects.count() == 1


@pytest.mark.parametrize(("window", "most", "learned"), [(None, 200, 200), (None, 10**6, HISTORY), (220, 200, 220)])
def test_a_long_history_is_learned_from_as_far_as_it_is_wanted(monkeypatch, window, most, learned):
    monkeypatch.setattr(services, "MOST_CANDLES", most)
    store_candles(bitcoin(), "1h", candles().iloc[:HISTORY], "csv")
    given: list[pd.DataFrame] = []

    def make(recipe: Recipe, known: pd.DataFrame, searched: bool) -> TrainingResult:
        given.append(known)
        return made()

    train_version(bitcoin(), "1h", Recipe(window=window), make=make)
    assert given[0].index.equals(candles().index[HISTORY - learned : HISTORY])


def hash_of(result: TrainingResult, symbol: str = "BTCUSDT") -> str:
    return content_hash(ModelVersion(symbol=Symbol(symbol=symbol), interval="1h", **services._fields(result)))


def test_the_hash_stands_for_all_that_an_answer_depends_on():
    one = made()
    hashes = {
        hash_of(it)
        for it in (
            one,
            replace(one, artefact=one.artefact + b" "),
            replace(one, data_hash="0" * 64),
            replace(one, recipe=replace(one.recipe, seed=1)),
            replace(one, calibration=made(1).calibration),
            replace(one, features={**one.features, "version": 0}),
            replace(one, last_time=one.first_time),
        )
    }
    assert len(hashes | {hash_of(one, "ETHUSDT")}) == 8
    assert hash_of(replace(one, scores={}, profile={})) in hashes


def test_the_first_of_its_name_decides_and_the_next_one_challenges():
    first, second = registered(), registered(seed=1)
    assert (first.status, second.status) == (STATUS.CHAMPION, STATUS.CHALLENGER)
    assert decides() == first
    assert newest_version(bitcoin(), "1h", NAME) == second


def test_the_database_allows_one_champion():
    registered()
    challenger = registered(seed=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.filter(pk=challenger.pk).update(status=STATUS.CHAMPION)


def test_a_promotion_and_the_way_back_are_kept_with_their_reasons():
    first, second = registered(), registered(seed=1)
    promote(second, "0.02 nats better on 400 candles")
    assert decides() == second
    assert predecessor(second) == first
    roll_back(second, "the features have drifted")
    assert decides() == first
    first.refresh_from_db()
    told = [(it.kind, it.version, it.replaced, it.reason) for it in Promotion.objects.order_by("pk")]
    assert told == [
        ("first", first, None, "the first model of its name"),
        ("promoted", second, first, "0.02 nats better on 400 candles"),
        ("rolled_back", first, second, "the features have drifted"),
    ]


def test_rolled_back_from_the_first_nobody_decides_until_one_earns_it():
    first = registered()
    roll_back(first, "it drifted")
    assert decides() is None
    second = registered(seed=1)
    assert (decides(), second.status) == (None, STATUS.CHALLENGER)
    promote(second, "earned")
    assert decides() == second


def test_two_roll_backs_go_two_steps_back():
    first, second, third = registered(), registered(seed=1), registered(seed=2)
    promote(second, "")
    promote(third, "")
    roll_back(third, "")
    assert decides() == second
    roll_back(decides(), "")
    assert decides() == first


def test_only_the_champion_is_rolled_back_and_only_another_is_promoted():
    first, second = registered(), registered(seed=1)
    with pytest.raises(ValueError, match="is not the champion"):
        roll_back(second, "")
    with pytest.raises(ValueError, match="is the champion already"):
        promote(first, "")
    retire(first)
    assert decides() == first
    retire(second)
    assert list(ModelVersion.objects.filter(status=STATUS.RETIRED)) == [second]


def damaged(version: ModelVersion) -> None:
    stored = ModelArtefact.objects.get(version=version)
    packed = bytearray(stored.content)
    packed[len(packed) // 2] ^= 1
    stored.content = bytes(packed)
    stored.save()


def exchanged(version: ModelVersion) -> None:
    """A whole and valid model, only not this one."""
    ModelArtefact.objects.filter(version=version).update(content=zlib.compress(made(9).artefact))


def exchanged_with_its_hash(version: ModelVersion) -> None:
    exchanged(version)
    ModelVersion.objects.filter(pk=version.pk).update(artefact_hash=artefact_hash(made(9).artefact))


def calibrated_otherwise(version: ModelVersion) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(calibration=made(9).calibration.to_json() | {"rows": 1})


def dated_back(version: ModelVersion) -> None:
    """So that it would be asked about candles it was trained on."""
    ModelVersion.objects.filter(pk=version.pk).update(last_time=version.first_time)


def another_recipe(version: ModelVersion) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(recipe=version.recipe | {"form": "classic"})


def newer_features(version: ModelVersion) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(features=version.features | {"version": FEATURE_VERSION + 1})


TAMPERED = [
    damaged, exchanged, exchanged_with_its_hash, calibrated_otherwise, dated_back, another_recipe, newer_features
]  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERED)
def test_a_tampered_version_is_refused_and_cannot_be_promoted(tamper):
    first, second = registered(), registered(seed=1)
    tamper(second)
    second.refresh_from_db()
    with pytest.raises(TamperedModel, match="is not what was registered"):
        load(second)
    with pytest.raises(TamperedModel):
        promote(second, "better")
    assert decides() == first
    load(first)


def test_training_again_mends_a_tampered_version():
    version = registered()
    damaged(version)
    assert registered() == version
    load(version)


def test_a_version_without_an_artefact_is_refused():
    version = registered()
    ModelArtefact.objects.all().delete()
    with pytest.raises(ModelUnusable, match="has no artefact"):
        load(version)


def test_a_version_of_older_features_is_refused_and_the_next_one_takes_its_place():
    version = old_features()
    with pytest.raises(OldFeatures, match=f"version {FEATURE_VERSION - 1} of the features.*train it anew"):
        load(version)
    assert is_missing(bitcoin(), "1h", NAME)
    new = registered()
    assert decides() == new
    assert not is_missing(bitcoin(), "1h", NAME)
    assert Promotion.objects.latest("pk").replaced == version


def test_an_older_kind_cannot_replace_a_champion():
    first = registered()
    with pytest.raises(OldFeatures):
        promote(old_features(), "better")
    assert decides() == first


def test_nobody_answers_for_a_candle_it_was_trained_on():
    version = registered()
    inside, outside = snapshot(HISTORY - 1), snapshot(HISTORY)
    assert serving_candidates("BTCUSDT", "1h", NAME, before=inside.open_time) == []
    assert serving_candidates("BTCUSDT", "1h", NAME, before=outside.open_time) == [version]


@pytest.mark.parametrize(
    ("history", "error", "told"),
    [
        (made_candles([100.0] * 20), TooFewRows, "0 rows to train on, but at least 30 are needed"),
        (made_candles([100.0] * 300), OneClassOnly, "labelled HOLD"),
        (made_candles([100.0 * 1.01**step for step in range(300)]), OneClassOnly, "labelled BUY"),
    ],
)
def test_what_cannot_be_learned_from_is_said_and_the_champion_stays(history, error, told):
    first = registered()
    store_candles(bitcoin(), "1h", history, "csv")
    with pytest.raises(error, match=told):
        train_version(bitcoin(), "1h", Recipe(trees=2))
    assert list(ModelVersion.objects.all()) == [first]
    assert decides() == first


def test_without_candles_nothing_is_trained():
    with pytest.raises(TrainingError, match="no candles of BTCUSDT at 1h are stored"):
        train_version(bitcoin(), "1h", Recipe())


def test_a_copy_goes_to_the_folder_that_is_named(settings, tmp_path, django_capture_on_commit_callbacks):
    settings.MODEL_PATH = str(tmp_path / "models")
    with django_capture_on_commit_callbacks(execute=True):
        version = registered()
    names = sorted(path.name for path in (tmp_path / "models").iterdir())
    stem = f"BTCUSDT_1h_random_forest_{version.content_hash[:8]}"
    assert names == [f"{stem}.json", f"{stem}.onnx"]
    assert (tmp_path / "models" / f"{stem}.onnx").read_bytes() == made().artefact


def test_a_folder_that_cannot_be_written_loses_no_model(settings, tmp_path, caplog, django_capture_on_commit_callbacks):
    (tmp_path / "file").write_text("")
    settings.MODEL_PATH = str(tmp_path / "file")
    with django_capture_on_commit_callbacks(execute=True):
        version = registered()
    assert "could not be written" in caplog.text
    load(version)
