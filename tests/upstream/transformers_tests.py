"""transformers' own tests, from the source distribution of the installed version, in a temporary folder."""

import atexit
import importlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
import transformers

_PACKAGE = "transformers_tests"  # their own name, tests, is taken

# The source distribution leaves out the subfolders of tests/. These stand in for what is imported from there: tests of
# text generation and of exports, and values for those fields of any config that AsenConfig reads, none a default.
_STAND_INS = {
    "__init__.py": "",
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "utils/test_configuration_utils.py": """config_common_kwargs = {
    "architectures": ["SomeModel"],
    "dtype": "float16",
    "output_attentions": True,
    "output_hidden_states": True,
    "return_dict": False,
}
""",
}


def import_test_module(name: str) -> ModuleType:
    """A module of transformers' tests. Skips the module that calls it where the source distribution cannot be had."""
    if _PACKAGE not in sys.modules:
        folder = Path(tempfile.mkdtemp(prefix="asen_hf_upstream_"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _fetch(folder)
        sys.path.insert(0, str(folder))
    return importlib.import_module(f"{_PACKAGE}.{name}")


def _fetch(folder: Path) -> None:
    requirement = f"transformers=={transformers.__version__}"
    # Without build isolation, since pip would fetch a second setuptools only to read the version that was asked for.
    options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--quiet", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, requirement], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot fetch the source distribution of {requirement}: {done.stderr}", allow_module_level=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (tests,) = folder.glob("*/tests")
    tests.rename(folder / _PACKAGE)
    for path, text in _STAND_INS.items():
        file = folder / _PACKAGE / path
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
