"""A module imports only from its own room and from rooms above it (DESIGN.md's table), and no imports form a circle."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "asen_hf"
# Top to bottom, a room per row, as patterns of modules; the first row that fits a module is its room.
ROOMS = [
    [
        *(
            "_version",
            "model._html",
            "model._messages",
            "model._named_columns",
            "model._points",
            "model.group*",
            "model._group_*",
            "model.orbit*",
        ),
        *("model.named_groups", "model._finite_fields", "model.value_maps", "model.value_groups"),
    ],
    ["model.checkpoints", "model.configuration_*", "model.twins", "model._uploaded_code"],
    [
        *("model.symmetry", "model.value_symmetries", "model.relations", "model.pairs"),
        *("model.normalization", "model._neighbours"),
    ],
    [
        *("model.attention", "model._gatv2_*", "model.dot_product_attention", "model._dot_product_blocks"),
        *("model._message_passing", "model._recomputed_backward", "model.gates", "model._onednn_linear"),
        "model._transforms",
    ],
    ["model", "model.*"],  # backbone, heads, the model
    ["closures", "closures.*"],
    ["data", "data.*"],
    ["evaluation", "evaluation.*"],
    ["training", "training.*"],
    ["*"],  # what uses a trained model: estimators, pipeline, surgery, experiments, plots, hub, commands
]
# Code that travels with a checkpoint needs nothing else.
CARRIED = {"transformers", "huggingface_hub", "safetensors", "torch", "torch_geometric", "sympy", "scipy", "numpy"}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}  # "" is the face, asen_hf/__init__.py
FACE = ""


def imports(module: str, when: str = "ever") -> Iterator[tuple[int, str]]:
    """Line and target of a module's imports: modules of the package as in ``MODULES``, libraries by their first name.

    Args:
        module: a key of ``MODULES``.
        when: ``"ever"``, or ``"first"`` for the imports that importing the module itself executes.
    """
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    skipped = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda) if when == "first" else ()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, skipped):
            continue
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        pending += node.orelse if is_for_types and when == "first" else ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                known = local(alias.name)
                yield node.lineno, alias.name.split(".")[0] if known is None else known
        elif isinstance(node, ast.ImportFrom):
            package = ["asen_hf", *module.split(".")] if module else ["asen_hf"]
            if MODULES[module].name != "__init__.py":
                package.pop()
            parts = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                known = local(f"{source}.{alias.name}")
                known = local(source) if known is None else known
                yield node.lineno, source.split(".")[0] if known is None else known


def local(name: str) -> str | None:
    """The key of ``MODULES`` of ``asen_hf`` or ``asen_hf.x.y``, if there is such a module."""
    first, _, rest = name.partition(".")
    return rest if first == "asen_hf" and rest in MODULES else None


def room(module: str) -> int:
    return next(number for number, row in enumerate(ROOMS) if any(fnmatch(module, pattern) for pattern in row))


@pytest.mark.parametrize("module", [module for module in MODULES if module != FACE])
def test_a_module_imports_from_its_own_room_and_rooms_above_it(module):
    """Imports inside functions obey the order too; they may be late, not wrong. Only users import the face."""
    wrong = [
        f"{MODULES[module]}:{line} imports asen_hf.{target}"
        for line, target in imports(module)
        if target in MODULES and (target == FACE or room(target) > room(module))
    ]
    assert not wrong, "\n".join(wrong)


def test_names_of_columns_are_written_once():
    written = {
        (module, node.value)
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in ("attention_mask", "cosets")
    }
    assert written == {("model.configuration_rows", name) for name in ("attention_mask", "cosets")}


def test_commands_come_last():
    wrong = [
        f"{MODULES[module]}:{line}"
        for module in MODULES
        if module not in (FACE, "__main__") and module.split(".")[0] != "commands"
        for line, target in imports(module)
        if target in MODULES and target.split(".")[0] == "commands"
    ]
    assert not wrong, "\n".join(wrong)


def test_no_imports_form_a_circle():
    graph = {module: {target for _, target in imports(module, "first") if target in MODULES} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def test_ten_layers_lead_from_commands_down_to_groups():
    assert len(ROOMS) <= 10
    assert room("model.groups") == 0 and room("commands.main") == len(ROOMS) - 1


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[0] == "model"])
def test_the_network_can_travel_with_a_checkpoint(module):
    """Transformers' loader finds relative imports of one level in one flat folder, and installs nothing."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    assert all(node.level <= 1 for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    for line, target in imports(module):
        assert target.split(".")[0] in {"model"} | CARRIED | sys.stdlib_module_names, f"{module}:{line}: {target}"


def test_the_rules_notice_what_they_forbid(tmp_path, monkeypatch):
    path = tmp_path / "groups.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from .symmetry import OrbitGraph\n"
        "from . import orbits\n"
        "def late():\n    from ..closures import closure_report\n    import asen_hf\n    import igraph.drawing\n"
    )
    monkeypatch.setitem(MODULES, "model.groups", path)
    found = {target for _, target in imports("model.groups")}
    assert found == {"typing", "model.symmetry", "model.orbits", "closures", FACE, "igraph"}
    assert {target for _, target in imports("model.groups", "first")} == {"typing", "model.orbits"}
