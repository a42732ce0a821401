"""Run a grid of small trainings or write its report; see --help."""

import sys

from asen_hf.commands.experiments import main
from asen_hf.commands.main import report_errors

if __name__ == "__main__":
    raise SystemExit(report_errors(lambda: main(sys.argv[1:])))
