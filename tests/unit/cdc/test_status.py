from dataclasses import replace

import pytest

from cdc.lifecycle import SinkPhase, SourcePhase
from cdc.progress import DeliverProgress
from cdc.status import OVERALL, State, overall
from tests.unit.cdc.admin.daemons import SINK, SOURCE


def test_every_phase_has_a_meaning_for_the_whole() -> None:
    assert {phase.value for phase in (*SourcePhase, *SinkPhase)} == set(OVERALL)


@pytest.mark.parametrize(
    ("source", "sink", "state"),
    [
        ("streaming", "delivering", "healthy"),
        ("waiting", "delivering", "healthy"),
        ("starting", "delivering", "starting"),
        ("streaming", "retrying", "degraded"),
        ("failed", "retrying", "failed"),
        ("stopped", "delivering", "stopping"),
    ],
)
def test_the_worst_worker_decides(source: str, sink: str, state: State) -> None:
    assert state == overall([replace(SOURCE, phase=source), replace(SINK, phase=sink)])


def test_dead_letters_degrade() -> None:
    assert isinstance(SINK.progress, DeliverProgress)
    kept = replace(SINK, progress=replace(SINK.progress, dead_letters_kept=1))

    assert overall([SOURCE, kept]) == "degraded"


def test_nothing_is_starting() -> None:
    assert overall([]) == "starting"
