"""training/experiments/gravity: its physics, one cell, and that its report and page say what its store holds."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ortho_group

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "training" / "experiments" / "gravity"


def load_script(name):
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pendulum():
    return load_script("spring_pendulum")


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)  # where a script finds its neighbours
    return load_script("run")


def test_the_pendulum_keeps_its_energy(pendulum):
    states, changes = pendulum.sample(200, seed=0)
    before, after = pendulum.energy(states), pendulum.energy(states + changes)
    assert np.ptp(before) > 1
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_accelerations_are_the_slope_of_the_energy(pendulum):
    """With masses of 1, minus the derivative of the energy by a place."""
    states, _ = pendulum.sample(50, seed=1)
    steps = 1e-5 * np.eye(6).reshape(6, 1, 2, 3)
    steps = np.concatenate([steps, 0 * steps], axis=2)  # places only
    slopes = [(pendulum.energy(states + step) - pendulum.energy(states - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(pendulum.accelerations(states[:, :2]).reshape(50, 6).T, -np.array(slopes), atol=1e-6)


def test_the_motion_has_the_symmetries_of_gravity_and_no_others(pendulum, study):
    states, changes = pendulum.sample(50, seed=2)

    def errors(elements):
        moved = [pendulum.simulate(states @ element.T) - (states + changes) @ element.T for element in elements]
        return np.abs(moved).max(axis=(1, 2, 3))

    assert errors(study.stabilizer_elements(5, seed=0)).max() < 1e-9
    assert errors(ortho_group.rvs(3, 5, random_state=0)).min() > 0.1


def test_arms_are_as_symmetric_as_their_names_say(study, monkeypatch):
    monkeypatch.setattr(study, "STEPS", 100)
    monkeypatch.setattr(study, "HELD_OUT", 50)
    rows = [study.run(arm, train_rows=30, rate=1e-3, seed=0) for arm in study.ARMS]
    found = [[float(row[f"error under {group}"]) < 1e-12 for group in ("gravity", "O(3)")] for row in rows]
    assert found == [[True, True], [True, False], *[[False, False]] * 5]


def test_report_and_page_say_what_the_store_holds(study):
    rows = study.read()
    report = (FOLDER / "report.md").read_text(encoding="utf-8")
    assert report == study.report(rows), "run `python training/experiments/gravity/run.py --report`"
    page = (ROOT / "docs" / "matrix_groups.md").read_text(encoding="utf-8")
    assert study.error_table(rows) in page, "copy the first table of the report"
