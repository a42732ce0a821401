"""Collects these tests only where they are asked for: to import them, transformers' source distribution is fetched."""

from collections.abc import Generator

import pytest
from _pytest.mark.expression import Expression

_MARKERS = ("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test")


def pytest_configure(config: pytest.Config) -> None:
    for name in _MARKERS:
        config.addinivalue_line("markers", f"{name}: one of transformers' own")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    selected = config.option.markexpr
    if not selected or Expression.compile(selected).evaluate(lambda name, **_: name == "upstream"):
        return None  # as for any other test
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Only transformers' tests may skip themselves: what does not hold here has its entry, and fails as that says."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and "transformers_tests" not in str(report.longrepr):
        report.outcome, report.longrepr = "failed", f"skipped by none of transformers' own tests: {report.longrepr}"
    return report
