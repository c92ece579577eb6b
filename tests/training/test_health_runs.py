"""The verdicts on stored curves of real runs whose fault is known; ``benchmarks/health_verdicts.py`` trained them."""

from __future__ import annotations

import pytest

from benchmarks.health_verdicts import KINDS, StoredRun, score, stored


@pytest.fixture(scope="module")
def runs() -> list[StoredRun]:
    return stored()


def test_there_are_enough_runs_of_every_kind(runs: list[StoredRun]) -> None:
    confirmed = [run for run in runs if run.confirmed]
    assert len(confirmed) >= 60
    assert {run.kind for run in confirmed} == set(KINDS)
    assert len({(run.kind, run.variant, run.seed) for run in runs}) == len(runs)


@pytest.mark.parametrize("half", ["develop", "report"])
def test_nine_in_ten_verdicts_are_right_and_healthy_runs_are_left_alone(runs: list[StoredRun], half: str) -> None:
    found = score([run for run in runs if run.half == half])
    assert found.right >= 0.9 * found.num_runs
    assert found.false_alarms < 0.05 * found.healthy_runs


def test_an_alarm_seldom_stands_while_a_healthy_run_is_under_way(runs: list[StoredRun]) -> None:
    said = [
        run.verdict(epoch).verdict
        for run in runs
        if run.kind == "healthy" and run.confirmed
        for epoch in range(1, len(run.curves["val_loss"]) + 1)
    ]
    assert sum(name not in {"healthy", "too_early"} for name in said) < 0.1 * len(said)


def test_overfitting_is_told_with_an_onset_after_the_best_epoch(runs: list[StoredRun]) -> None:
    for run in runs:
        verdict = run.verdict()
        if verdict.verdict in {"overfitting", "overconfident"}:
            assert 1 < verdict.onset <= len(run.curves["val_loss"])
            assert 0.5 < verdict.confidence <= 1
