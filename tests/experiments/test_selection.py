"""``asen select`` at toy size: it ranks, keeps the winner, resumes, and refuses what it cannot compare."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from asen_hf import AsenForMultitask
from asen_hf.commands.main import main
from asen_hf.experiments.grid import Grid
from asen_hf.experiments.selection_report import Candidate, rank, write_ranking
from tests.workers import workers_in_process

SCRIPT = Path(__file__).parents[2] / "training" / "select_symmetry.py"
SMALL = (
    *("--max_steps=3", "--hidden_size=16", "--num_attention_heads=2", "--num_hidden_layers=1"),
    *("--attn_implementation=eager", "--train_rows=20", "--eval_steps=3", "--seeds=2"),
)


@pytest.fixture
def select(capsys):
    """Runs the command in this process, its worker too; returns what it shows."""

    def run(*arguments, status=0):
        capsys.readouterr()
        with workers_in_process():
            found = main(["select", *arguments, "--workers=1"])
        shown = capsys.readouterr()
        assert found == status, shown.err
        return shown

    return run


def select_in_processes(*arguments):
    subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, check=True)


def ranking(output):
    with (output / "ranking.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_candidates_are_ranked_and_the_winner_is_kept(tmp_path, select):
    output = tmp_path / "out"
    arguments = ("--task=equivariant/palindrome", "--task_options", '{"length": 5}', *SMALL, f"--output_dir={output}")
    shown = select(*arguments, "--groups", "trivial", "[[[0, 4], [1, 3]]]", "S_5")
    rows = ranking(output)
    assert sorted(row["candidate"] for row in rows) == ["S_5", "[[[0, 4], [1, 3]]]", "trivial"]
    assert {row["candidate"]: (row["orbitals"], row["order"]) for row in rows} == {
        "trivial": ("25", "1"),
        "[[[0, 4], [1, 3]]]": ("13", "2"),
        "S_5": ("2", "120"),
    }
    scores = [float(row["validation accuracy"].split()[0]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert sum(int(row["first on"].split()[0]) for row in rows) == 2  # of two seeds
    assert rows[0]["candidate"] in shown.out
    model = AsenForMultitask.from_pretrained(output / "best")
    assert model.config.tasks["equivariant/palindrome"].group_name == rows[0]["candidate"]
    assert not list((output / "runs").glob("**/*.safetensors"))
    assert (output / "ranking.png").stat().st_size > 1000

    again = select(*arguments, "--groups", "trivial", "[[[0, 4], [1, 3]]]", "S_5")
    assert "0 of 3 runs to go" in again.out
    assert AsenForMultitask.from_pretrained(output / "best").num_parameters() == model.num_parameters()
    refused = select(*arguments, "--groups", "trivial", status=2)
    assert "holds another selection" in refused.err


@pytest.mark.slow
def test_every_candidate_gets_the_learning_rate_that_suits_it(tmp_path):
    output = tmp_path / "out"
    arguments = ("--task=equivariant/palindrome", "--task_options", '{"length": 5}', *SMALL, f"--output_dir={output}")
    select_in_processes(
        *arguments, "--max_steps=60", "--eval_steps=60", "--groups", "reversal", "--lrs", "1e-9", "1e-2"
    )
    [row] = ranking(output)
    assert row["lr"] == "0.01"
    with (output / "results.csv").open(encoding="utf-8") as file:
        tried = sorted((row["seed"], row["lr"]) for row in csv.DictReader(file))
    assert tried == [("0", "0.01"), ("0", "1e-09"), ("1", "0.01")]  # all rates on the first seed only


def _recipe(folder, *names):
    source = {"source": "equivariant/palindrome", "options": {"length": 5}, "changes": {"relations": ["equal"]}}
    tasks = [{"name": name, **source} for name in names]
    (folder / "recipe.yaml").write_text(json.dumps({"tasks": tasks}))
    return f"--recipe={folder / 'recipe.yaml'}"


def test_a_recipe_may_give_the_task_with_changes(tmp_path, select):
    output = tmp_path / "out"
    select(_recipe(tmp_path, "mine"), *SMALL, "--seeds=1", "--groups", "reversal", "S_5", f"--output_dir={output}")
    assert {row["candidate"] for row in ranking(output)} == {"reversal", "S_5"}
    [task] = AsenForMultitask.from_pretrained(output / "best").config.tasks.values()
    assert task.relations == ["equal"]


@pytest.mark.parametrize("names, flags", [(["a", "b"], []), (["a"], ["--task=equivariant/palindrome"])], ids=str)
def test_a_task_that_is_given_twice_is_refused(tmp_path, select, names, flags):
    shown = select(_recipe(tmp_path, *names), *flags, *SMALL, f"--output_dir={tmp_path / 'out'}", status=2)
    assert "must be given once: by flags, or as the only task of the recipe" in shown.err


def test_a_table_with_edges_is_offered_its_automorphisms_and_all_supports(tmp_path, select):
    config = {"degree": 4, "vocab_size": 2, "edges": [[0, 1], [1, 0], [1, 2], [2, 1], [2, 3], [3, 2]]}
    (tmp_path / "task.json").write_text(json.dumps(config))
    table = [{"inputs": [k >> bit & 1 for bit in range(4)], "labels": [k & 1] * 4} for k in range(16)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in table * 3))
    output = tmp_path / "out"
    select(
        *("--dataset", str(tmp_path / "rows.jsonl"), "--task_config", str(tmp_path / "task.json")),
        *("--supports", "complete", "sparse", "weak", *SMALL, "--seeds=1", f"--output_dir={output}"),
    )
    rows = {row["candidate"]: row["orbitals"] for row in ranking(output)}
    # Of 8 orbitals of the reversal of four points, those of the path's edges are two. Where the group keeps the edges,
    # telling them from the other pairs adds nothing; on the edges alone the dihedral group's are as alike as S_4's.
    expected = {"trivial": (16, 6), "reversal": (8, 3), "dihedral": (3, 1, 4), "symmetric": (2, None, 3)}
    expected |= {"cyclic": (4, 2, 6)}
    supports = ("complete", "sparse", "weak")
    assert rows == {
        f"{group}, {support}": str(number)
        for group, numbers in expected.items()
        for support, number in zip(supports, numbers, strict=False)
        if number is not None
    }
    said = (output / "ranking.md").read_text()
    assert "reversal, weak: the same network as reversal, complete." in said


@pytest.mark.slow
def test_other_networks_of_as_many_parameters_are_in_the_table(tmp_path, select):
    output = tmp_path / "out"
    select(
        *("--task=equivariant/palindrome", "--task_options", '{"length": 5}', *SMALL, f"--output_dir={output}"),
        *("--groups", "reversal", "trivial", "--rivals", "mlp", "transformer"),
    )
    rows = {row["candidate"]: row for row in ranking(output)}
    sizes = {name: int(row["parameters"]) for name, row in rows.items()}
    for name in ("MLP, node by node", "Transformer with positions"):
        assert sizes[name] == pytest.approx(
            min(sizes["reversal"], sizes["trivial"]), rel=0.2
        )  # of two, the lower is the median
        assert rows[name]["orbitals"] == ""
    best = AsenForMultitask.from_pretrained(output / "best")  # a symmetry's, whoever is first
    assert best.config.tasks["equivariant/palindrome"].group_name in ("reversal", "trivial")
    assert "majority" in (output / "ranking.md").read_text()


@pytest.mark.slow
def test_predictors_without_a_network_take_part_and_folds_take_the_place_of_seeds(tmp_path, select):
    output = tmp_path / "out"
    select(
        *("--task=equivariant/palindrome", "--task_options", '{"length": 5}', *SMALL, f"--output_dir={output}"),
        *("--seeds=1", "--folds=2", "--lrs", "1e-3", "1e-2", "--groups", "reversal", "S_5"),
        *("--rivals", "structural_ridge", "boosted_trees"),
    )
    rows = {row["candidate"]: row for row in ranking(output)}
    ridge = rows["structural features, ridge"]
    assert (ridge["place"], ridge["first on"], ridge["parameters"]) == ("1", "2 of 2 runs", "")
    for name in ("reversal", "S_5"):  # hardly trained
        assert float(rows[name]["p"]) < 0.05 and rows[name]["tied with the best"] == "no"
    with (output / "results.csv").open(encoding="utf-8") as file:
        made = [(row["candidate"], row["lr"], row["seed"]) for row in csv.DictReader(file)]
    assert len(made) == len(set(made)) == 2 * (2 + 1) + 2 * 2  # a reference prediction has no learning rate to try
    assert {seed for _, _, seed in made} == {"0, fold 1 of 2", "0, fold 2 of 2"}
    said = (output / "ranking.md").read_text()
    assert "over 2 folds of 1 seed" in said and "for the 3 comparisons made" in said
    assert AsenForMultitask.from_pretrained(output / "best").config.tasks

    for rows_file in output.glob("runs/*/validation_rows.npz"):
        rows_file.unlink()
    grid = Grid.read(output)
    standings = rank(grid, {name: Candidate(name, "a group", "complete", 2) for name in rows})
    assert all(standing.p != standing.p and not standing.is_tied for standing in standings)
    write_ranking(grid, standings)
    assert "Not compared with it, for want of runs or of their outcomes" in (output / "ranking.md").read_text()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "expected either --task NAME"),
        (("--task=equivariant/palindrome", "--supports", "dense"), "expected values among complete, sparse, weak"),
        (("--task=equivariant/palindrome", "--supports", "sparse"), "support sparse needs edges"),
        (
            ("--task=equivariant/palindrome", "--rivals", "cnn"),
            "expected values among mlp, row_mlp, equivariant_mlp, gcn",
        ),
        (("--task=equivariant/palindrome", "--rivals", "linear"), "linear does not suit the task"),
        (("--task=equivariant/palindrome", "--folds=1"), "--folds must be at least 2"),
        (("--task=equivariant/palindrome", "--rivals", "gcn"), "messages along edges, and the task has none"),
        (("--task=equivariant/palindrome", "--groups", "S_11"), "unknown group"),
        (("--task=equivariant/palindrome", "--groups", "[[[0, 10]]]"), "10"),
        (("--task=equivariant/palindrome", "--steps=3"), "--steps"),
        (("--task=equivariant/palindrome", "--push_to_hub"), "unrecognized arguments: --push_to_hub"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, capsys, arguments, message):
    assert main(["select", *arguments, f"--output_dir={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err
