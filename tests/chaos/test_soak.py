"""What the soak calls growth."""

import pytest

from tests.chaos import soak
from tests.chaos.soak import GROWTH_MB, WARM_UP, Use, grown

FLAT = Use(processes=5, descriptors=80, temporary=3, memory_mb=400.0)


def after(graphs: int, **more: float) -> list[Use]:
    """As FLAT, with ``more`` added each graph, beginning with the first."""
    return [
        Use(**{name: getattr(FLAT, name) + graph * more.get(name, 0) for name in Use.__dataclass_fields__})
        for graph in range(graphs)
    ]


@pytest.mark.parametrize("name", ["processes", "descriptors", "temporary"])
def test_one_more_left_behind_by_each_graph_is_growth(name):
    assert [line.split()[0] for line in grown(after(WARM_UP + 4, **{name: 1}))] == [name]


def test_a_pool_that_breathes_and_caches_that_fill_are_no_growth():
    breathing = [Use(processes=5, descriptors=80 + 7 * (graph % 2), temporary=3, memory_mb=400.0) for graph in range(8)]
    filling = [Use(processes=1, descriptors=9, temporary=0, memory_mb=100.0 * graph) for graph in range(WARM_UP)]
    assert grown(filling + breathing) == []


@pytest.mark.parametrize(("growth", "said"), [(GROWTH_MB + 0.1, 1), (GROWTH_MB - 0.1, 0)])
def test_memory_may_grow_by_what_databases_cache_and_no_more(growth, said):
    assert len(grown(after(WARM_UP + 4, memory_mb=growth))) == said


@pytest.mark.parametrize(
    ("graphs", "status", "said"), [(11, 1, "TOO FEW: 11 graphs"), (12, 0, "12 graphs, nothing grew")]
)
def test_too_few_graphs_are_no_proof(monkeypatch, capsys, graphs, status, said):
    monkeypatch.setattr(soak, "soak", lambda *_, **__: [FLAT] * graphs)
    monkeypatch.setattr("sys.argv", ["soak", "folder"])
    assert soak.main() == status
    assert capsys.readouterr().out.startswith(said)
