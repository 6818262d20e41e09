"""What JSON of riskmon is made of: frozen models, numbers that may be unknown, text that can be encoded."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from riskmon.publish.encodable import encodable

# Any number may be unknown, or not finite, which is written as null.
Number = float | None
Text = Annotated[str, BeforeValidator(encodable)]
Labels = dict[Text, Text]


class Answer(BaseModel):
    """A frozen part of an answer or a report; it can be read from the record with the same attributes."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True, ser_json_inf_nan="null")
