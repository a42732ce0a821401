"""Loading a table imports neither plotting nor the search for closures: a user's first call stays quick."""

import subprocess
import sys

CODE = """
import sys
from asen_hf import TaskConfig, load_table

splits = load_table(sys.argv[1], TaskConfig(group="C4", vocab_size=2))
assert sum(splits.num_rows.values()) == 20, splits
heavy = ("igraph", "matplotlib", "asen_hf.closures")
print(*sorted(name for name in sys.modules if name.startswith(heavy)))
"""


def test_loading_a_table_imports_neither_igraph_nor_matplotlib_nor_closures(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [[row >> bit & 1 for bit in range(4)] for row in range(16)]
    rows += rows[:4]
    lines = ["inputs,labels", *(f'"{row}","{row}"' for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
