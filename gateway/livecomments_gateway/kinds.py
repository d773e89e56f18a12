"""What a value of a request may be: each kind both checks it and describes itself as JSON Schema. Pure.

So the description that clients read (`openapi`) cannot differ from what is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar, overload

from livecomments_schemas.errors import Rejected

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Schema = dict[str, Any]


class BodyRejected(Rejected):
    """The body is not the JSON this call takes."""

    code = "invalid_json"


class ValueKind(Protocol[T_co]):
    """A set of values."""

    def of_json(self, value: object) -> T_co:
        """Check a value parsed from JSON, and return it.

        Raises:
            ValueError: with a text that continues the sentence "<name> …".
        """

    def of_text(self, text: str) -> T_co:
        """Parse the text of a query parameter or header. Raises ValueError as `of_json` does."""

    def schema(self) -> Schema:
        """Describe the kind in JSON Schema."""


@dataclass(frozen=True)
class Text:
    """A string, of which only the length is checked here: `chars_max` is more than any valid one has."""

    chars_max: int
    pattern: str | None = None

    def of_json(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a string")
        return value

    def of_text(self, text: str) -> str:
        return text

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": self.chars_max} | ({"pattern": self.pattern} if self.pattern else {})


_WHOLE: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Whole:
    """A whole number in a range. 5.0 is one (JSON Schema 2020-12, Validation 6.1.1), and is taken as 5."""

    minimum: int
    maximum: int

    def of_json(self, value: object) -> int:
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(number, int) or isinstance(number, bool) or not self.minimum <= number <= self.maximum:
            raise ValueError(f"must be a whole number from {self.minimum} to {self.maximum}")
        return number

    def of_text(self, text: str) -> int:
        return self.of_json(int(text) if _WHOLE.fullmatch(text) else None)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def of_json(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(f"must be {' or '.join(self.words)}")
        return value

    def of_text(self, text: str) -> str:
        return self.of_json(text)

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True)
class Pattern:
    """A string that a regular expression matches whole. `says` continues the sentence "<name> …" for any other."""

    expression: str
    says: str
    compiled: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", re.compile(self.expression))

    def of_json(self, value: object) -> str:
        if not isinstance(value, str) or not self.compiled.fullmatch(value):
            raise ValueError(self.says)
        return value

    def of_text(self, text: str) -> str:
        return self.of_json(text)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{self.expression}$"}


@dataclass(frozen=True)
class BodyMember(Generic[T]):
    """A member of a JSON body. Null is as good as absent where it is not required."""

    name: str
    kind: ValueKind[T]
    doc: str
    is_required: bool = False

    def of(self, body: Mapping[str, Any]) -> T | None:
        """Return the member, or None where it is not there. Raises BodyRejected."""
        value = body.get(self.name)
        if value is None and not self.is_required:
            return None
        return self.required_of(body)

    def required_of(self, body: Mapping[str, Any]) -> T:
        """Return the member, which must be there. Raises BodyRejected."""
        try:
            return self.kind.of_json(body.get(self.name))
        except ValueError as error:
            raise BodyRejected(f"{self.name} {error}.") from error

    def schema(self) -> Schema:
        """Describe the member in JSON Schema."""
        schema = self.kind.schema()
        if not self.is_required:
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        return {"description": self.doc, **schema}


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """A value in a query or header, refused as `rejected`."""

    name: str
    where: str
    kind: ValueKind[T]
    doc: str
    rejected: type[Rejected]

    @overload
    def of(self, values: Mapping[str, str], default: T) -> T: ...
    @overload
    def of(self, values: Mapping[str, str]) -> T | None: ...
    def of(self, values: Mapping[str, str], default: T | None = None) -> T | None:
        """Return the value among `values` (a query, or `headers_of` a request), or the default. Raises `rejected`."""
        text = values.get(self.name if self.where == "query" else self.name.lower())
        if text is None:
            return default
        try:
            return self.kind.of_text(text)
        except ValueError as error:
            raise self.rejected(f"{self.name} {error}.") from error
