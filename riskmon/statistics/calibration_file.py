"""The file that carries a judge's measured error: one JSON object, the fields of `JudgeError`.

`riskmon calibrate judge` writes it, and `harms[].calibration` names it. It fits one judge at one threshold for one
harm: a file made with another is refused, since its error rates would be those of something else. It holds counts and
no text.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from riskmon.errors import ConfigError, InputError
from riskmon.records.judging import JudgeError
from riskmon.statistics.judge_error import informative

_AGAIN = "run 'riskmon calibrate judge' again"


def write_judge_error(path: Path, error: JudgeError) -> None:
    """Write the file: whole or not at all, mode 0600; one that is there is replaced.

    Raises:
        InputError: the place cannot be written.
    """
    text = json.dumps(error.as_dict(), indent=2, allow_nan=False) + "\n"
    scratch: str | None = None
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600 by itself
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(path)
    except OSError as exc:
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc


def load_judge_error(path: Path, judge_id: str | None, threshold: float, harm: str) -> JudgeError:
    """Read the file and check that it belongs to the judge in use.

    Args:
        path: the file.
        judge_id: id of the judge in use; None where the caller has no judge at hand, as the forecast, and then it is
            not compared.
        threshold: the threshold in force.
        harm: name of the harm.

    Raises:
        ConfigError: the file is missing or malformed, was made for another harm, judge or threshold, or shows a
            judge no better than chance.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"harm {harm!r}: cannot read the calibration {path}: {reason}; "
            "run 'riskmon calibrate judge' to make it, or take 'calibration' out"
        ) from exc
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        error = JudgeError.from_dict(document)
    except (ValueError, RecursionError) as exc:
        what = "not JSON" if isinstance(exc, json.JSONDecodeError | RecursionError) else str(exc)
        raise ConfigError(f"harm {harm!r}: {path} is not a calibration of a judge: {what}; {_AGAIN}") from exc
    for name, found, wanted in (
        ("harm", error.harm, harm),
        ("judge", error.judge, judge_id),
        ("threshold", error.threshold, threshold),
    ):
        if wanted is not None and found != wanted:
            raise ConfigError(
                f"harm {harm!r}: {path} was made with {name} {found!r}, but {name} {wanted!r} is in use; {_AGAIN}"
            )
    if not informative(error):
        raise ConfigError(
            f"harm {harm!r}: by {path} the judge is no better than chance; use another judge or threshold, "
            f"or label more answers, and {_AGAIN}"
        )
    return error
