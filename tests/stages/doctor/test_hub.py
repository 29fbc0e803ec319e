"""What would be downloaded is asked for first; a hub that cannot be reached is a finding with a way round it."""

import pytest

from stages.doctor.findings import FindingError, NotCheckedError
from stages.doctor.hub import check_data_set, model_files
from stages.doctor.setup import hub_data_sets, start_models

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """The discard port, where nobody answers, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def test_a_base_model_on_a_hub_out_of_reach(setup_with) -> None:
    source = {"source": "checkpoint", "checkpoint": "nobody/none", "revision": COMMIT}
    model = start_models(setup_with({"stage0_base_model.base": source}))[0]
    with pytest.raises(FindingError, match="nobody/none cannot be had from the hub") as raised:
        model.folder()
    assert f"hf download nobody/none --revision {COMMIT}" in raised.value.fix
    with pytest.raises(FindingError):
        model_files("nobody/none", COMMIT)


def test_only_benchmarks_without_a_file_need_the_hub(setup_with) -> None:
    chosen = [{"name": "math_500"}, {"name": "gsm8k", "file": "gsm8k.jsonl"}]
    sources = hub_data_sets(setup_with({"evaluate.benchmarks": chosen}))
    assert list(sources) == ["evaluate.benchmarks.0"]
    assert hub_data_sets(setup_with()) == {}


def test_a_data_set_that_cannot_be_had(setup_with) -> None:
    (source,) = hub_data_sets(setup_with({"evaluate.benchmarks": [{"name": "math_500"}]})).values()
    pinned = source.model_copy(update={"revision": COMMIT})
    with pytest.raises(FindingError, match="cannot be had from the hub"):
        check_data_set(pinned)
    with pytest.raises(FindingError, match="no commit is pinned"):
        check_data_set(source.model_copy(update={"revision": None}))


def test_offline_the_cache_is_trusted(setup_with, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (source,) = hub_data_sets(setup_with({"evaluate.benchmarks": [{"name": "math_500"}]})).values()
    with pytest.raises(NotCheckedError, match="must be in the hub's cache"):
        check_data_set(source.model_copy(update={"revision": COMMIT}))
