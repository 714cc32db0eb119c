import pytest

from exporter.core.report import DatasetName
from tests.simulation.mutants import DEFECTS, PACKAGE, Defect
from tests.simulation.play import play
from tests.simulation.scenario import make_scenario

#: Seeds in one test; one core plays some fifteen a second.
_TOGETHER = 20


@pytest.mark.parametrize("first", range(1, 241, _TOGETHER), ids=lambda first: f"from-{first}")
def test_every_promise_is_kept_whatever_goes_wrong(first):
    for seed in range(first, first + _TOGETHER):
        try:
            play(seed)
        except Exception as error:
            error.add_note(f"replay it: make replay SEED={seed}")
            raise


def test_a_seed_plays_the_same_twice():
    logs: list[list[str]] = [[], []]
    for log in logs:
        play(11, log=log)

    assert logs[0] == logs[1] != []


def test_another_seed_is_another_scenario():
    assert make_scenario(1).exporters != make_scenario(2).exporters
    assert make_scenario(1).dataset.name == DatasetName("strikes")


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.what)
def test_every_planted_defect_still_has_its_line(defect: Defect):
    assert (PACKAGE / defect.file).read_text().count(defect.right) == 1
