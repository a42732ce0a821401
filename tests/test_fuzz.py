"""Hostile inputs to every public entry point end in a result or in a sentence, soon.

``ASEN_FUZZ_SEED``, ``ASEN_FUZZ_FIRST`` and ``ASEN_FUZZ_COUNT`` choose the inputs of the campaign.
"""

import os
from collections import Counter

import pytest

from tests import fuzzing

SEED = int(os.environ.get("ASEN_FUZZ_SEED", "0"))
FIRST = int(os.environ.get("ASEN_FUZZ_FIRST", "0"))
COUNT = int(os.environ.get("ASEN_FUZZ_COUNT", "5000"))


def check(folder, seed, numbers):
    endings = list(fuzzing.run(seed, numbers, folder))
    print({kind: sum(ending.kind == kind for ending in endings) for kind in ("accepted", "refused", "failed")})
    assert len(endings) == len(numbers)
    assert [ending for ending in endings if ending.kind == "failed"] == []
    return endings


def test_hostile_inputs_are_refused_in_a_sentence(tmp_path):
    check(tmp_path, 1, range(150))


@pytest.mark.slow
def test_a_campaign_of_hostile_inputs_ends_in_sentences(tmp_path):
    endings = check(tmp_path, SEED, range(FIRST, FIRST + COUNT))
    if COUNT >= 5000:
        counts = Counter((ending.entry, ending.kind) for ending in endings)
        for entry in fuzzing.ENTRIES:  # neither always refused nor never
            assert counts[entry, "accepted"] and counts[entry, "refused"]
