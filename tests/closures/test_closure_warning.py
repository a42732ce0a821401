"""Users are told, once and before training, when the network will not have the symmetry they asked for."""

import subprocess
import sys
import warnings

import pytest

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.closures import warn_if_not_closed

TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_adding_a_task_warns_once_with_the_reports_sentence():
    model = AsenForMultitask(AsenConfig(**TINY))
    with pytest.warns(UserWarning, match=r"task 'warned': .*equivariant to S_5 .*rather than") as caught:
        model.add_task("warned", TaskConfig(group="A5", vocab_size=3))
    assert len(caught) == 1


def test_a_warning_made_an_error_leaves_the_model_as_it_was():
    model = AsenForMultitask(AsenConfig(**TINY))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            model.add_task("warned", TaskConfig(group="A5", vocab_size=3))
    assert model.config.tasks == {} and not model.heads and not model.asen.edge_embedders


@pytest.mark.parametrize(
    "task",
    [
        {"group": "S3 wr S2"},
        {"group": "A4", "symmetry_breaking": "triples"},
        {"group": "A5", "symmetry_breaking": "nodes"},
        {"group": "C5", "edges": [[i, (i + 1) % 5] for i in range(5)]},
        {"group": "A300"},
    ],
    ids=str,
)
def test_nothing_is_said_where_the_symmetry_is_what_was_asked_for_or_too_large_to_tell(task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_not_closed("quiet", TaskConfig(vocab_size=3, **task))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"group": "A6", "symmetry_breaking": "triples"}, "not even triples"),
        ({"group": "C5", "edges": [[0, 1], [1, 2]]}, "does not map the support to itself"),
    ],
    ids=str,
)
def test_closures_of_triples_and_broken_supports_are_warned_of(task, message):
    with pytest.warns(UserWarning, match=message):
        warn_if_not_closed("loud", TaskConfig(vocab_size=3, **task))


def test_loading_a_checkpoint_computes_no_closure(tmp_path, monkeypatch):
    AsenForMultitask(AsenConfig(tasks={"sign": TaskConfig(group="A6", vocab_size=3)}, **TINY)).save_pretrained(tmp_path)
    monkeypatch.setattr("asen_hf.closures.closure_report", lambda *_: pytest.fail("a closure was computed"))
    AsenForMultitask.from_pretrained(tmp_path)


def test_igraph_is_imported_only_when_a_closure_is_computed():
    code = (
        "import sys\nfrom asen_hf.closures import two_closure\nfrom asen_hf.model.groups import cyclic\n"
        "before = 'igraph' in sys.modules\ntwo_closure(cyclic(3))\nprint(before, 'igraph' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False True\n"), done.stderr
