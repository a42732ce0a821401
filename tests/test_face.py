"""What ``import asen_hf`` offers, what it leaves unimported, and that transformers knows the models all the same."""

import json
import os
import subprocess
import sys

import pytest

import asen_hf

FACE = {
    *("AsenConfig", "TaskConfig", "AsenModel", "AsenForMultitask", "AsenMultitaskOutput", "AsenPreTrainedModel"),
    *("AsenPredictionPipeline", "finetune", "pretrain", "evaluate", "parse_group", "groups", "orbit_labels"),
    *("two_closure", "graph_automorphisms", "from_networkx", "closure_report", "equivariance_error"),
    *("assert_equivariant", "get_task", "list_tasks", "load_table", "checkpoint_path", "__version__"),
    *("AsenClassifier", "AsenRegressor"),
}
KNOWN = """
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, pipeline
import asen_hf
config = AutoConfig.for_model("asen", hidden_size=8, num_attention_heads=2, num_hidden_layers=1,
                              tasks={"t": dict(degree=3, vocab_size=2)})
assert type(config) is asen_hf.AsenConfig
assert type(AutoModel.from_config(config)) is asen_hf.AsenModel
assert type(AutoModelForPreTraining.from_config(config)) is asen_hf.AsenForMultitask
predict = pipeline("asen-prediction", model=asen_hf.AsenForMultitask(config), device="cpu")
assert type(predict) is asen_hf.AsenPredictionPipeline and len(predict({"inputs": [0, 1, 1]})) == 3
"""


def run(code, *arguments):
    command = [sys.executable, "-W", "error::UserWarning", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Runs each code in a copy of this process, which has imported what takes longest and is not in question.
COPIES = """
import json, os, sys, traceback
import igraph, scipy.sparse.csgraph, sympy.combinatorics, torch
for code in json.load(sys.stdin):
    copy = os.fork()
    if copy == 0:
        try:
            exec(code, {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    if os.waitpid(copy, 0)[1] != 0:
        sys.exit(f"in: {code}")
"""


def run_copies(codes):
    command = [sys.executable, "-W", "error::UserWarning", "-c", COPIES]
    done = subprocess.run(command, input=json.dumps(codes), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def imported_by(code, *modules):
    shown = run(f"{code}\nimport sys\nprint('imported:', *[name for name in {modules} if name in sys.modules])")
    return shown.rpartition("imported:")[2].split()


def test_it_lists_the_face_and_every_name_is_there():
    assert set(asen_hf.__all__) == FACE and set(dir(asen_hf)) >= FACE
    assert [name for name in FACE if getattr(asen_hf, name, None) is None] == []
    with pytest.raises(AttributeError, match="no attribute 'AsenNothing'"):
        _ = asen_hf.AsenNothing


@pytest.mark.parametrize(
    "code",
    [
        "import asen_hf",
        "from asen_hf.commands.main import main; assert main(['inspect', 'C8']) == 0",
        "from asen_hf.commands.main import main; assert main(['inspect', './nowhere']) == 2",
    ],
)
def test_neither_torch_nor_transformers_is_imported_before_it_is_needed(code):
    assert imported_by(code, "torch", "transformers", "torch_geometric", "datasets", "sklearn") == []


FIRST = [
    "import asen_hf",
    "from asen_hf import AsenForMultitask",
    "import asen_hf.model.backbone",
    "import asen_hf.pipeline",
    "from transformers import AutoModel, pipeline",
    "import asen_hf; import transformers.modeling_layers",  # which imports the auto classes half-way
    "import asen_hf, importlib, transformers.models.auto.modeling_auto as auto; importlib.reload(auto)",
    """
import importlib, threading, asen_hf
names = ("transformers.models.auto.modeling_auto", "asen_hf.model.modeling_asen", "transformers.pipelines")
threads = [threading.Thread(target=importlib.import_module, args=(name,)) for name in names]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
""",
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_transformers_knows_the_models_in_whichever_order_modules_are_imported():
    run_copies([f"{first}\n{KNOWN}" for first in FIRST])
