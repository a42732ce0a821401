"""Score a checkpoint on held-out rows: a table of groups, scores, reference predictions and equivariance errors.

    python training/evaluate.py --checkpoint DIR [--task NAME] [--data_path FILE] [--plots DIR]

The same as ``asen evaluate DIR …``. The rows are those that the checkpoint's recipe.yaml names, split as in its
training, so that test rows are unseen. --plots draws predicted poses, errors on a map and forecasts, for the tasks
whose config says that they are such.
"""

import sys

from asen_hf.training.evaluate import EvaluateOptions, evaluate_checkpoint
from asen_hf.training.recipe import argument_parser, script


@script
def main() -> None:
    parser = argument_parser([EvaluateOptions], description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="A checkpoint folder or Hub id.")
    options, rest = parser.parse_args_into_dataclasses(sys.argv[1:])
    evaluate_checkpoint(rest.checkpoint, options)


if __name__ == "__main__":
    main()
