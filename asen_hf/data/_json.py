"""JSON that people wrote: every fault is a ``ValueError``, and no value is silently left out."""

from __future__ import annotations

import json
from typing import Any

from ..model._messages import shown


def parse_json(text: str, where: str) -> Any:
    """The value that a text means.

    Args:
        text: JSON.
        where: its origin, for error messages.

    Raises:
        ValueError: not JSON, an object with the same key twice, an integer of over 4,300 digits, or lists within lists
            by the thousand.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"key {shown(repeated)} appears twice in one object")
        return fields

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError(f"{where}: not JSON: lists or objects are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    except ValueError as error:
        reason = "an integer has too many digits" if "limit" in str(error) else error
        raise ValueError(f"{where}: not JSON: {reason}") from error
