"""What counting needs of a plain message, at a glance: its time and its stratum labels.

Of most messages nothing else is wanted: they are counted, and are not in the sample. A glance reads those two facts and
makes sure that `Decoder` would take the message as a request, without building what is thrown away. It knows plain
messages only, and answers None where it is not certain: whatever is unusual goes to the `Decoder`, which alone decides.

For every message it holds: where a glance answers, its time is one that `Decoder` accepts, and the message did not
come before, `Decoder.decode` gives a request of that time, whose labels are the rendered form of the labels given here.
The tests prove it on messages of every kind.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from riskmon.config import TrafficConfig
from riskmon.traffic.decode import LONGEST_ID
from riskmon.traffic.paths import Lookup, compile_path, plain_key
from riskmon.traffic.timestamps import parse_timestamp
from riskmon.traffic.turns import names_last_user

RawLabels = tuple[Any, ...]
"""What stands at each stratum path, before it is rendered; any JSON value."""

Glance = Callable[[bytes | None], tuple[datetime | None, RawLabels] | None]
"""Time (None where the message carries none; perhaps without an offset) and labels of a message's bytes; None where the
message is not plain."""


def compile_glance(config: TrafficConfig) -> Glance:
    """The glance at messages of these field paths, strata and size limit; none is plain in another format.

    It is one long function, and looks keys up itself where paths are such: a call costs as much as all the rest of a
    step.
    """
    if config.format != "riskmon" or names_last_user(config.strata):
        return lambda _: None
    fields, max_bytes = config.fields, config.max_message_bytes
    loads, parse_iso = orjson.loads, datetime.fromisoformat
    messages_key, find_messages = _key_or_lookup(fields.messages)
    prompt_key, find_prompt = _key_or_lookup(fields.prompt)
    id_key, find_id = _key_or_lookup(fields.id)
    timestamp_key, find_timestamp = _key_or_lookup(fields.timestamp)
    find_labels = _compile_labels(config.strata)

    def glance(value: bytes | None) -> tuple[datetime | None, RawLabels] | None:
        try:
            if len(value) > max_bytes:  # type: ignore[arg-type]
                return None
            document = loads(value)  # type: ignore[arg-type]
            get = document.get
        except (orjson.JSONDecodeError, TypeError, AttributeError):  # not JSON; no bytes; no object
            return None

        messages = get(messages_key) if messages_key else find_messages(document)
        if messages:
            try:
                for message in messages:
                    role = message["role"]
                    if type(message["content"]) is not str or type(role) is not str or not role:
                        return None
            except (KeyError, TypeError):  # a message of another shape, or messages that are no list
                return None
        else:
            prompt = get(prompt_key) if prompt_key else find_prompt(document)
            if type(prompt) is not str or not prompt:
                return None

        prompt_id = get(id_key) if id_key else find_id(document)
        if prompt_id is not None and (type(prompt_id) is not str or len(prompt_id) > LONGEST_ID):
            return None

        timestamp = get(timestamp_key) if timestamp_key else find_timestamp(document)
        if timestamp is None:
            return None, find_labels(document)
        try:
            # The usual form is spared the precautions of `parse_timestamp`: what parses needs neither of them.
            if timestamp[4] == "-" and timestamp[10] == "T":
                return parse_iso(timestamp), find_labels(document)
        except (TypeError, LookupError, ValueError):  # a number, or text of another form
            pass
        moment = parse_timestamp(timestamp)
        return None if moment is None else (moment, find_labels(document))

    return glance


def _key_or_lookup(path: str) -> tuple[str | None, Lookup]:
    return plain_key(path), compile_path(path)


def _compile_labels(paths: tuple[str, ...]) -> Callable[[dict[str, Any]], RawLabels]:
    lookups = [compile_path(path) for path in paths]
    match lookups:
        case []:
            return lambda _: ()
        case [first]:
            return lambda document: (first(document),)
        case [first, second]:
            return lambda document: (first(document), second(document))
        case _:
            return lambda document: tuple([lookup(document) for lookup in lookups])
