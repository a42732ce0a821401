"""code/bb72 on shots made here from the code's definition, and on the real file where it is at hand."""

import numpy as np
import pytest

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, equivariance_error
from asen_hf.closures import group_order
from asen_hf.data import collate, get_task
from asen_hf.data.real.decoding import is_logical_failure, ordered_statistics
from asen_hf.model.orbits import is_invariant_support
from asen_hf.training.judging import predictor
from tests.data.real.made_files import FORMATS, bicycle_checks, rows_of


@pytest.fixture
def save(tmp_path):
    def write(**changed):
        np.savez(tmp_path / "bb72.npz", **FORMATS["shots"].arrays | changed)
        return tmp_path / "bb72.npz"

    return write


def test_a_row_is_outcomes_on_checks_and_flips_on_qubits(save):
    splits = get_task("code/bb72", data_path=save(), test_percent=7).load()
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 8, "validation": 4, "test": 4}
    _, checks, _ = bicycle_checks()
    for split in splits.values():
        rows = rows_of(split)
        assert (rows["inputs"][:, :72] == 0).all() and (rows["labels"][:, 72:] == -100).all()
        np.testing.assert_array_equal(rows["inputs"][:, 72:], 1 + rows["labels"][:, :72] @ checks.T % 2)


@pytest.mark.parametrize("percent, rows", [(3, 7), (5, 6), (7, 4)])
def test_the_test_shots_are_those_of_the_rate(save, percent, rows):
    assert get_task("code/bb72", data_path=save(), test_percent=percent).load()["test"].num_rows == rows


def test_messages_go_at_most_two_steps_in_the_tanner_graph(save):
    config = get_task("code/bb72", data_path=save()).config
    _, checks, _ = bicycle_checks()
    neighbours = [
        *({72 + int(check) for check in np.flatnonzero(checks[:, qubit])} for qubit in range(72)),
        *(set(np.flatnonzero(checks[check]).tolist()) for check in range(36)),
    ]
    reached = [
        {node, *near, *(far for other in near for far in neighbours[other])} for node, near in enumerate(neighbours)
    ]
    assert {tuple(edge) for edge in config.edges} == {(i, j) for i, near in enumerate(reached) for j in near}


@pytest.mark.parametrize("group, order", [("translations", 36), ("trivial", 1)])
def test_a_model_is_equivariant_to_the_codes_group(save, group, order):
    task = get_task("code/bb72", data_path=save(), group=group)
    assert group_order(task.config.permutation_group()) == order
    assert is_invariant_support(task.config.permutation_group(), task.config.edges)
    tiny = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = AsenForMultitask(AsenConfig(tasks={"code": task.config}, **tiny)).double()
    inputs = collate(task.config, task.load()["test"])["inputs"]
    translations = get_task("code/bb72", data_path=save()).config.permutation_group()
    error = equivariance_error(model, inputs, task="code", group=translations)
    assert error < 1e-12 if order > 1 else error > 1e-3


def exchanged(array, row, first, second):
    array = array.copy()
    array[row, [first, second]] = array[row, [second, first]]
    return array


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda arrays: {"valid_syndrome": arrays["valid_syndrome"] ^ np.array([[0], [0], [1], [0]], np.uint8)},
            r"bb72.npz: valid_syndrome, row 2: these are not the outcomes of the checks Hz on valid_error",
        ),
        (
            lambda arrays: {"generators": exchanged(arrays["generators"], 1, 3, 4)},
            "bb72.npz: generators, row 1: expected a permutation of 72 qubits and 36 checks that maps Hz to itself",
        ),
        (
            lambda arrays: {"automorphism_generators": np.roll(arrays["generators"], 1, axis=1)},
            "automorphism_generators, row 0: expected a permutation of 72 qubits",
        ),
        (
            lambda arrays: {"Lz": np.r_[arrays["Lz"], np.eye(1, 72, dtype=np.uint8)]},
            "Lz, row 42: it must share an even number of qubits with every row of Hx",
        ),
        (lambda arrays: {"Hz": arrays["Hz"][:, :70]}, r"Hz: expected shape \(36, 72\), got \(36, 70\)"),
        (lambda arrays: {"train_error": arrays["train_error"][1:]}, "train_syndrome: expected shape"),
    ],
)
def test_ill_formed_files_are_refused(save, change, message):
    with pytest.raises(ValueError, match=message):
        get_task("code/bb72", data_path=save(**change(FORMATS["shots"].arrays)))


def test_bad_options_are_refused(save):
    with pytest.raises(ValueError, match="code/bb72: test_percent must be 3, 5 or 7, got 6"):
        get_task("code/bb72", data_path=save(), test_percent=6)
    with pytest.raises(ValueError, match="code/bb72: unknown group 'C5'"):
        get_task("code/bb72", data_path=save(), group="C5")


def test_the_real_shots(shared_data):
    task = get_task("code/bb72", data_path=shared_data / "bb72_code" / "bb72_code.npz", group="automorphisms")
    assert group_order(task.config.permutation_group()) == 432
    np.testing.assert_array_equal(task.parity_checks.sum(axis=1), np.full(36, 6))
    splits = task.load(num_rows=3200)
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 2000, "validation": 200, "test": 1000}
    rows = rows_of(splits["test"])
    flips, outcomes = rows["labels"][:, :72], rows["inputs"][:, 72:] - 1
    assert 0.045 < flips.mean() < 0.055
    sure = ordered_statistics(task.parity_checks, outcomes, flips.astype(float))
    assert not is_logical_failure(task.parity_checks, task.logical_operators, flips, sure).any()
    unsure = ordered_statistics(task.parity_checks, outcomes, np.random.default_rng(0).random(flips.shape))
    assert is_logical_failure(task.parity_checks, task.logical_operators, flips, unsure).mean() > 0.8


def test_a_decoder_is_judged_on_all_three_test_parts(save):
    task = get_task("code/bb72", data_path=save())
    _, checks, _ = bicycle_checks()
    shots = {p: np.unpackbits(FORMATS["shots"].arrays[f"test_error_0{p}"], axis=1)[:, :72] for p in (3, 5, 7)}
    scores = {p: np.random.default_rng(p).random(flips.shape) / 2 for p, flips in shots.items()}

    def predict(inputs, certainty):
        """Near the flips of the shots with these outcomes; on other outcomes, no flip."""
        meant = [
            p for p, flips in shots.items() if np.array_equal(inputs[:, 72:], 1 + flips @ checks.T.astype(int) % 2)
        ]
        flipped = np.zeros(inputs.shape)
        for p in meant:
            flipped[:, :72] = certainty * shots[p] + (1 - certainty) * scores[p]
        return np.stack([1 - flipped, flipped], axis=-1)

    sure, vague = (task.judge(lambda inputs, c=certainty: predict(inputs, c)) for certainty in (1, 0))
    for p, flips in shots.items():
        assert sure[f"LER at {p} %"] == sure[f"LER at {p} %, in rounds"] == 0
        assert 0 < vague[f"LER at {p} %, in rounds"] <= 1
        assert vague[f"LER at {p} %"] == (flips != 0).any(axis=1).mean()  # nothing is above one half
        corrections = ordered_statistics(checks, flips @ checks.T.astype(int) % 2, scores[p])
        failures = is_logical_failure(checks, task.logical_operators, flips, corrections)
        assert vague[f"LER at {p} %, OSD-0"] == failures.mean()


def test_finetuning_and_evaluation_report_what_the_task_judges(save, tmp_path):
    task = get_task("code/bb72", data_path=save())
    model = AsenForMultitask(AsenConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2))
    result = asen_hf.finetune(model, task, name="code", max_steps=1, output_dir=tmp_path / "run")
    measures = result.scores["code"].details
    assert measures["LER at 7 %, OSD-0"] == task.judge(predictor(result.model, "code"))["LER at 7 %, OSD-0"]
    assert asen_hf.evaluate(tmp_path / "run")["code"].details == pytest.approx(measures)
    assert not asen_hf.evaluate(tmp_path / "run", split="validation")["code"].details
