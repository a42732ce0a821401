"""Groups that are too large are refused at once and before anything is allocated; what is accepted fits into memory.

The cases run in a process of their own, whose memory and time are limited by the operating system.
"""

import itertools
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sympy.combinatorics import Permutation, PermutationGroup

from asen_hf import TaskConfig, closures
from asen_hf.commands.main import main
from asen_hf.model import group_notation, groups, named_groups, orbits
from asen_hf.model.group_notation import parse_group
from asen_hf.model.groups import MAX_DEGREE, MAX_GENERATORS, MAX_PAIRS, cyclic, from_cycles, symmetric, trivial

HUGE = (MAX_DEGREE + 1, 2**63, 10**5000, np.uint64(2**63))
REFUSED_MEMORY, REFUSED_SECONDS = 200 * 2**20, 3  # a second where it was measured; CPU time, on any machine
ACCEPTED_MEMORY, ACCEPTED_SECONDS = 3 * 2**30, 120


def oversized() -> PermutationGroup:
    """A group that only SymPy makes, which has no bounds."""
    return PermutationGroup([Permutation(i, i + 1, size=2000) for i in range(100)] * 100, dups=False)


def many(degree: int) -> PermutationGroup:
    return from_cycles([[[i, i + 1]] for i in range(MAX_PAIRS // degree - 1)], degree)


def task(**fields) -> TaskConfig:
    return TaskConfig(vocab_size=2, **fields)


def inspect(*arguments: str) -> None:
    """``asen inspect``, which prints its error."""
    if main(["inspect", *arguments]) == 2:
        raise ValueError("exit status 2")


def of_every_size(make: Callable) -> list[Callable]:
    return [lambda n=n: make(n) for n in HUGE]


def of_notation(read: Callable[[str], object], every: int = 1) -> list[Callable]:
    """Calls with texts that say too much: with all of them, or each ``every``-th."""
    texts = [
        *(f"{family}{number}" for family in "SACDRE" for number in (MAX_DEGREE + 1, 10**17, "9" * 300_000)),
        *("grid 1048577x1 flips", "grid 99999999x99999999 translations", f"grid {'9' * 10**5}x1 flips"),
        *("C1000000 x C1000000", "S2 x S1000000 x S1000000", "C1000000 wr C1000000", "S2000 wr S2000"),
        *("S1000000 wr S1 wr S1 wr S1 wr S1", "S1000000 x (S1 wr S1000000 wr S2)"),
        *(f"{'S1000000 x ' * 1000}S1", f"{'S1 x ' * 40_000}S1", f"{'S1 wr ' * 40_000}S1", f"{'S2 wr ' * 40}S2"),
        *("(" * 100_000, f"{'(' * 100_000}S2{')' * 100_000}", f"{'(' * 60}S2{')' * 60}"),
        *("(0 1000000000)", "(0 1), (0 99999999)", f"(0 {'9' * 10**5})", "()" * 10**6, "(0 1)," * 40_000 + "(0 1)"),
        *(
            "E1^1000000",
            "S2^9999999",
            "S1000^1000^1000",
            f"{'(' * 40}S2{')^9' * 40}",
            "S1⁹⁹⁹⁹⁹⁹⁹⁹⁹",
            f"S2^{'9' * 10**5}",
        ),
        *("product_action(C2000, C2000)", f"product_action({'C1000000, ' * 900}S1)", f"wr({'wr(' * 60}S2"),
        *("C1000 on 1000 x 1000000", f"S2 on {'2 x ' * 40_000}2", "S5000 on 2-subsets", "S1000000 on 500000-subsets"),
        *("PSL(2,1048583)", "PSL(2,1048576)", "GL(1000000000,2)", "AGL(21,2)", f"SL(2,{'9' * 18})", "F999999999989"),
        *(
            "Q4194304",
            f"Young({'1000,' * 40_000}1)",
            f"Young({'9' * 18})",
            f"M{'9' * 18}",
            "B999999999",
            "C999999937:C9",
        ),
        *(
            "Aut(H(20,2))",
            "Aut(H(1,1024))",
            "Aut(J(1000000,500000))",
            "Aut(kneser(40,20))",
            f"Aut(H({'9' * 18},{'9' * 18}))",
        ),
        *("[" * 100_000, f"[[[0,{'9' * 18}]]]", "<" * 100_000, f"<(0 {'9' * 18})>", f"[{'[[0,1]],' * 20_000}[]]"),
        *(
            f"Group({'(1,2),' * 20_000}(1,2))",
            f"({','.join(map(str, range(1, 40_000)))}",
            "(1,99999999)",
            "(1 99999999)",
        ),
        *(f"({' '.join(map(str, range(40_000)))}", "S" * 10**7, "\ud800" * 10**5, "0" * 10**5, "٣" * 10**5),
    ]
    return [lambda text=text: read(text) for text in texts[::every]]


too_many = [[[0, 1]]] * (MAX_GENERATORS + 1)
# By the name of a public function: calls that must be refused.
REFUSED: dict[str, list[Callable]] = {
    "trivial": of_every_size(trivial),
    "symmetric": of_every_size(symmetric),
    "alternating": of_every_size(groups.alternating),
    "cyclic": of_every_size(cyclic),
    "dihedral": of_every_size(groups.dihedral),
    "reversal": of_every_size(groups.reversal),
    "young_subgroup": [
        lambda: groups.young_subgroup([range(10**12)]),
        lambda: groups.young_subgroup([range(10**30)]),
        lambda: groups.young_subgroup([[2 * i, 2 * i + 1] for i in range(100_000)]),
    ],
    "direct_product": [
        lambda: groups.direct_product(*[from_cycles([], 300_000)] * 4),
        lambda: groups.direct_product(*[cyclic(2)] * (MAX_GENERATORS + 1)),
        lambda: groups.direct_product(*[cyclic(20)] * 2000),
        lambda: groups.direct_product(oversized(), oversized()),
    ],
    "product_action": [
        lambda: groups.product_action(cyclic(2000), cyclic(2000)),
        lambda: groups.product_action(*[cyclic(2)] * 15_000),
    ],
    "wreath_product": [
        lambda: groups.wreath_product(cyclic(1500), cyclic(1500)),
        lambda: groups.wreath_product(symmetric(1000), trivial(1000)),
    ],
    "action_on_subsets": [
        lambda: groups.action_on_subsets(cyclic(1000), 500),
        lambda: groups.action_on_subsets(cyclic(1000), 997),
        lambda: groups.action_on_subsets(cyclic(40_000), 20_000),
        lambda: groups.action_on_subsets(cyclic(5000), 4999),
        *of_every_size(lambda k: groups.action_on_subsets(cyclic(5), k)),
    ],
    "grid_symmetries": [
        *of_every_size(lambda n: groups.grid_symmetries(n, 1, "flips")),
        lambda: groups.grid_symmetries(np.int64(2**40), np.int64(2**40), "translations"),
        lambda: groups.grid_symmetries(10**6, 10**6, "translations"),
    ],
    "grid_patches": [
        *of_every_size(lambda n: groups.grid_patches(1, n, 2, 2)),
        lambda: groups.grid_patches(1000, 1000, 2, 2),
        lambda: groups.grid_patches(10**6, 10**6, 10, 10),
    ],
    "from_cycles": [
        *of_every_size(lambda n: from_cycles([], n)),
        lambda: from_cycles(too_many, 2),
        lambda: from_cycles([[[0, 1]]] * 1000, 10**6),
    ],
    "generators_from_cycles": [
        *of_every_size(lambda n: groups.generators_from_cycles([], n)),
        lambda: groups.generators_from_cycles(too_many, 2),
    ],
    "from_array_form": [
        lambda: groups.from_array_form([range(10**12)]),
        lambda: groups.from_array_form([itertools.count()]),
        lambda: groups.from_array_form(itertools.repeat([0])),
    ],
    "random_elements": of_every_size(lambda n: groups.random_elements(cyclic(100), n)),
    "to_cycles": [lambda: groups.to_cycles(oversized())],
    "array_forms": [lambda: groups.array_forms(oversized())],
    "check_group": [lambda: groups.check_group(oversized())],
    "format_cycles": [lambda: group_notation.format_cycles(oversized())],
    "parse_group": [*of_notation(parse_group, every=6), *of_every_size(lambda n: parse_group("()", n))],
    "read_group": of_notation(group_notation.read_group),  # which the functions above and below call
    "linear": [
        *of_every_size(lambda n: named_groups.linear("GL", n, 2)),
        *of_every_size(lambda q: named_groups.linear("PSL", 2, q)),
        lambda: named_groups.linear("AGL", 2, 4093),
    ],
    "linear_degree": of_every_size(lambda n: named_groups.linear_degree("AGL", n, n)),
    "mathieu": of_every_size(named_groups.mathieu),
    "quaternion": [*of_every_size(named_groups.quaternion), lambda: named_groups.quaternion(MAX_DEGREE + 4)],
    "frobenius": of_every_size(named_groups.frobenius),
    "frobenius_degree": of_every_size(named_groups.frobenius_degree),
    "check_num_tuples": [
        lambda: orbits.check_num_tuples(4097, 2),
        lambda: orbits.check_num_tuples(257, 3),
        lambda: orbits.check_num_tuples(10**100, 2),
    ],
    "orbit_labels": [
        *of_every_size(lambda k: orbits.orbit_labels(cyclic(1), k)),
        *of_every_size(lambda k: orbits.orbit_labels(cyclic(1000), k)),
        lambda: orbits.orbit_labels(cyclic(4097)),
        lambda: orbits.orbit_labels(cyclic(2), 25),
        lambda: orbits.orbit_labels(cyclic(10**5), edges=[[0, 1]]),
        lambda: orbits.orbit_labels(oversized(), 1),
    ],
    "close_support": [lambda: orbits.close_support(cyclic(5000), [[0, 1]])],
    "is_invariant_support": [lambda: orbits.is_invariant_support(oversized(), [[0, 1]])],
    "check_edges": of_every_size(lambda n: orbits.check_edges([[0, n]], 5)),
    "refine_by_support": [lambda: orbits.refine_by_support(np.zeros((2, 2), dtype=int), [[0, 2**40]])],
    "closure_report": [
        lambda: closures.closure_report(parse_group("S100 wr S100")),
        lambda: closures.closure_report(cyclic(10**5)),
        lambda: closures.closure_report(task(degree=10**5, generators=[[[0, 1]]])),
        lambda: closures.closure_report(oversized()),
    ],
    "two_closure": [lambda: closures.two_closure(cyclic(1025)), lambda: closures.two_closure(cyclic(10**5))],
    "graph_automorphisms": [
        *of_every_size(lambda n: closures.graph_automorphisms([[0], [1]], n)),
        lambda: closures.graph_automorphisms(np.zeros((2, 10**6), dtype=int), 1000),
        lambda: closures.graph_automorphisms(np.divmod(np.arange(520**2), 520), 520),
    ],
    "TaskConfig": [
        *of_every_size(lambda n: task(degree=n)),
        *of_every_size(lambda n: TaskConfig.from_dict({"degree": n, "vocab_size": 2})),
        *of_notation(lambda text: task(group=text), every=7),
        lambda: task(group=oversized()),
        lambda: task(degree=5, generators=[[[0, 10**5000]]]),
        lambda: task(degree=2, generators=too_many),
        lambda: task(degree=5, edges=[[0, 10**5000]]),
    ],
    "asen inspect": [
        *of_notation(inspect, every=5),
        *(lambda n=n: inspect("(0 1)", "--degree", str(n)) for n in (2**63, 10**400)),
        lambda: inspect("S100 wr S100"),
        lambda: inspect("E1000000"),
    ],
}
# Large, but within the bounds: each takes seconds.
ACCEPTED: dict[str, Callable] = {
    "a million points": lambda: orbits.orbit_labels(cyclic(10**6), 1),
    "the largest linear groups": lambda: [
        named_groups.linear("AGL", 20, 2),
        named_groups.linear("PGL", 20, 2),
        named_groups.linear("SL", 2, 1021),
        named_groups.linear("PGL", 2, 4096),
    ],
    "the largest quaternion group": lambda: named_groups.quaternion(MAX_DEGREE),
    "a power of most generators": lambda: parse_group("C2^2800"),
    "most pairs": lambda: orbits.orbit_labels(parse_group("S64 wr S64")),
    "most triples": lambda: orbits.orbit_labels(cyclic(256), 3),
    "most images": lambda: orbits.orbit_labels(many(4096), 1),
    "a report of most pairs": lambda: closures.closure_report(parse_group("S64 wr S64")).sentence,
    "a report with many automorphisms": lambda: closures.closure_report(parse_group("S30 wr S30")).sentence,
    "a report of most decided points": lambda: closures.closure_report(symmetric(1024)).sentence,
    "a graph without edges": lambda: closures.graph_automorphisms([[], []], 1024),
}
NOT_BOUNDED = {"number_by_first_appearance", "read_array", "klein_four"}  # they allocate no more than they are given
UNDECIDED = {"group_order", "is_k_closed", "order_text", "value_orders", "warn_if_not_closed"}  # they do not refuse
FROM_NETWORKX = {"from_networkx"}  # the same as graph_automorphisms


def run(calls: Iterator[tuple[str, Callable]], memory: int, seconds: int) -> None:
    """Print a line of JSON for every call: its name and how it ended."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"took over {seconds} seconds")

    signal.signal(signal.SIGVTALRM, give_up)
    closures.closure_report(cyclic(3))  # imports igraph before the memory is limited
    with open("/proc/self/statm", encoding="ascii") as file:
        present = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + memory, present + memory))
    for name, call in calls:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            call()
            ended = "accepted"
        except Exception as error:
            ended = f"{type(error).__name__}: {error}"
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print(json.dumps([name, ended[:5000]]), flush=True)


def ends(which: str) -> list[tuple[str, str]]:
    """How the calls of a process of their own ended."""
    done = subprocess.run([sys.executable, __file__, which], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")
def test_what_is_too_large_is_refused_at_once_and_before_it_is_allocated():
    ended = ends("refused")
    assert len(ended) == sum(map(len, REFUSED.values()))
    assert not [case for case in ended if not case[1].startswith(("ValueError: ", "Undecided: "))]
    assert not [case for case in ended if "Exceeds the limit" in case[1] or len(case[1]) > 2000]


@pytest.mark.slow
def test_what_is_within_the_bounds_fits_into_memory():
    assert [case for case in ends("accepted") if case[1] != "accepted"] == []


def test_every_public_function_of_groups_has_a_case():
    modules = (groups, named_groups, group_notation, orbits, closures)
    public = {name for module in modules for name in module.__all__ if _is_function(module, name)}
    assert public == REFUSED.keys() - {"TaskConfig", "asen inspect"} | NOT_BOUNDED | UNDECIDED | FROM_NETWORKX


def _is_function(module: object, name: str) -> bool:
    value = getattr(module, name, None)
    return callable(value) and not isinstance(value, type) and hasattr(value, "__code__")


@pytest.mark.parametrize("answer", [closures.group_order, lambda group: closures.is_k_closed(group, 2)])
def test_questions_about_large_groups_stay_open(answer):
    assert answer(cyclic(1025)) is None


@pytest.mark.slow
def test_a_report_of_a_large_group_says_what_is_undecided():
    report = closures.closure_report(cyclic(1025))
    assert (report.rank, report.transitivity, report.network_order) == (1025, 1, None)
    assert "was not decided: the 2-closure is computed up to 1,024 points" in report.sentence
    support = closures.closure_report(task(degree=1025, generators=[[[0, 1]]], edges=[[1, 2]]))
    assert "does not map the support to itself" in support.sentence and support.is_exact is False


if __name__ == "__main__":
    if sys.argv[1] == "refused":
        run(((name, call) for name, calls in REFUSED.items() for call in calls), REFUSED_MEMORY, REFUSED_SECONDS)
    else:
        run(iter(ACCEPTED.items()), ACCEPTED_MEMORY, ACCEPTED_SECONDS)
