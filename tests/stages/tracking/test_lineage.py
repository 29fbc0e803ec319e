"""What hangs together in MLflow: data sets, checkpoints and the runs that made and measured them."""

import dataclasses
from typing import TYPE_CHECKING

from stages import mlflow_store
from tests.stages.tracking.runs import (
    BASE,
    DATA,
    DEV1,
    R1,
    data_input,
    model_input,
    on_both,
    only_run,
    points,
    record,
    track,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


def track_base_to_r1() -> None:
    """base -> Dev1 -> R1, each trained on the same problems."""
    track(record("stage0_base_model", BASE, "base"))
    track(record("stage1_cold_start_sft", DEV1, "Dev1", init=model_input(BASE), traces=data_input()))
    track(record("stage4_general_rl", R1, "R1", policy=model_input(DEV1), problems=data_input()), steps=3)


@on_both
def test_an_input_data_set_has_dvcs_md5_as_its_digest(client: "MlflowClient") -> None:
    track(record("stage4_general_rl", R1, problems=data_input()))
    (entry,) = only_run(client, "stage4_general_rl").inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("artifacts/stage0_problems", DATA)


@on_both
def test_from_r1_one_walks_through_its_parents_to_base(client: "MlflowClient") -> None:
    track_base_to_r1()
    (version,) = client.search_model_versions("name = 'R1'")
    walked = []
    model_ids = [version.source.removeprefix("models:/")]
    while model_ids:
        model = client.get_logged_model(model_ids[0])
        walked.append((model.name, model.tags["dvc.md5"]))
        assert model.source_run_id is not None
        model_ids = [entry.model_id for entry in client.get_run(model.source_run_id).inputs.model_inputs]
    assert walked == [("R1", R1), ("Dev1", DEV1), ("base", BASE)]


@on_both
def test_a_checkpoint_is_registered_under_the_papers_name(client: "MlflowClient") -> None:
    track_base_to_r1()
    (version,) = client.search_model_versions("name = 'Dev1'")
    assert version.tags == {
        "dvc.md5": DEV1,
        "path": "artifacts/stage1_cold_start_sft",
        "r1.fingerprint": "fingerprint-stage1_cold_start_sft",
    }
    assert version.run_id == only_run(client, "stage1_cold_start_sft").info.run_id


@on_both
def test_the_note_links_each_input_to_the_run_that_made_it(client: "MlflowClient") -> None:
    track_base_to_r1()
    note = only_run(client, "stage4_general_rl").data.tags["mlflow.note.content"]
    assert f"/runs/{only_run(client, 'stage1_cold_start_sft').info.run_id}" in note
    assert "dvc repro stage4_general_rl" in note
    assert R1 in note


@on_both
def test_an_evaluation_is_tied_to_the_checkpoint_it_measured(client: "MlflowClient") -> None:
    track(record("stage0_base_model", BASE, "base"))
    track(record("evaluate", DATA, checkpoint=None, model=model_input(BASE)))
    experiment = client.get_experiment_by_name(mlflow_store.EXPERIMENT)
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id])
    evaluation = only_run(client, "evaluate").info.run_id
    assert [(m.key, m.value) for m in model.metrics or [] if m.run_id == evaluation] == [("accuracy", 0.5)]


def measured(client: "MlflowClient", md5: str) -> set[tuple[str, float]]:
    """The runs that tied a metric to the model ``md5``, with its value; each run did so once."""
    experiment = client.get_experiment_by_name(mlflow_store.EXPERIMENT)
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id], f"tags.`dvc.md5` = '{md5}'")
    found = [(client.get_run(metric.run_id).info.run_name, metric.value) for metric in model.metrics or []]
    assert len(found) == len(set(found))
    return set(found)


@on_both
def test_a_model_keeps_one_of_each_metric_however_often_it_is_made_and_measured_alike(client: "MlflowClient") -> None:
    for nth in ("first", "second", "third"):
        made = record("stage0_base_model", BASE, "base")
        track(dataclasses.replace(made, name=f"make-{nth}", execution=f"make-{nth}"))
        evaluation = record("evaluate", DATA, checkpoint=None, model=model_input(BASE))
        track(dataclasses.replace(evaluation, name=f"evaluate-{nth}", execution=f"evaluate-{nth}"))
    assert measured(client, BASE) == {("make-first", 0.5), ("evaluate-first", 0.5)}
    assert only_run(client, "evaluate-third").data.metrics == {"accuracy": 0.5}


def test_equal_results_of_two_models_are_tied_to_each_of_them(client: "MlflowClient") -> None:
    for name, md5 in (("base", BASE), ("Dev1", DEV1)):
        track(dataclasses.replace(record(name, md5, name), metrics={}))
        evaluation = record("evaluate", DATA, checkpoint=None, model=model_input(md5))
        own = {"name": f"evaluate@{name}", "execution": f"evaluate@{name}", "fingerprint": f"evaluate@{name}"}
        track(dataclasses.replace(evaluation, **own))
    assert measured(client, BASE) == {("evaluate@base", 0.5)}
    assert measured(client, DEV1) == {("evaluate@Dev1", 0.5)}


def test_a_checkpoint_that_the_store_does_not_know_is_still_an_input(client: "MlflowClient") -> None:
    track(record("stage4_general_rl", R1, "R1", policy=model_input(DEV1)))
    run = only_run(client, "stage4_general_rl")
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == [DEV1]
    assert "not in this tracking store" in run.data.tags["mlflow.note.content"]


@on_both
def test_tracking_the_same_run_twice_leaves_one_of_everything(client: "MlflowClient") -> None:
    track_base_to_r1()
    track(record("stage4_general_rl", R1, "R1", policy=model_input(DEV1), problems=data_input()))
    run = only_run(client, "stage4_general_rl")
    assert points(client, run) == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert len(client.search_model_versions("name = 'R1'")) == 1
    assert (len(run.inputs.model_inputs), len(run.inputs.dataset_inputs), len(run.outputs.model_outputs)) == (1, 1, 1)


@on_both
def test_the_same_checkpoint_trained_again_is_the_same_model(client: "MlflowClient") -> None:
    first = record("stage0_base_model", BASE, "base")
    track(first)
    track(dataclasses.replace(first, name="again", execution="another"))
    assert len(client.search_model_versions("name = 'base'")) == 1
    assert len(only_run(client, "again").outputs.model_outputs) == 1
