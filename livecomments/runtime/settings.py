"""The configuration of a process: one frozen dataclass, read from the environment once.

Every field is `LIVECOMMENTS_` and its name in capitals; a secret may be in a file instead, named by the same and
`_FILE`. All problems are reported at once; an unknown name under our prefix is one of them, since a misspelt bound is a
bound that does not hold. A name that only other processes know is none: one environment may serve them all.

Parts of a process's settings are dataclasses of their own, declared where they are used (`shared_settings`, and each
service's `settings`); a process inherits from those it needs (`livecomments_command.settings`).
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeAlias

from livecomments.runtime.values import parsed, secret_in, without_credentials
from livecomments_schemas.errors import StartRefused

PREFIX: Final = "LIVECOMMENTS_"
_FILE: Final = "_FILE"
"""Behind the name of a secret: the name of a file that holds it."""

_GONE: Final = {"LIVECOMMENTS_EPOCH": " any more: the log tells which epoch is open (livecomments epochs list)."}

Rule: TypeAlias = tuple[str, bool, str]
"""A field's name, whether its rule holds, and how a sentence about it goes on: "must be …"."""


class ValueRange(NamedTuple):
    """What a number must be. Both ends are allowed values, but for `above`."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None

    def hold(self, number: float) -> bool:
        """Return whether the number is within them."""
        return (
            (self.at_least is None or number >= self.at_least)
            and (self.at_most is None or number <= self.at_most)
            and (self.above is None or number > self.above)
        )

    def __str__(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"must be {self.at_least} to {self.at_most}"
        lower = "must be positive" if self.above == 0 else "must not be negative"
        return lower if self.at_most is None else f"{lower}, and at most {self.at_most}"


def setting(default: Any, doc: str, bounds: ValueRange | None = None, *, secret: bool = False) -> Any:
    """Declare a setting: its default, what it means in a sentence, what a number must be, whether it is masked."""
    metadata = {"doc": doc, "bounds": bounds, "secret": secret}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


POSITIVE: Final = ValueRange(above=0)
NOT_NEGATIVE: Final = ValueRange(at_least=0)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every process's settings can do. `docs/CONFIG.md` lists them all (held by tests/test_docs.py)."""

    @classmethod
    def environment_keys(cls) -> frozenset[str]:
        """Return the names in the environment that these settings are read from, `…_FILE` of secrets included."""
        fields = dataclasses.fields(cls)
        secrets = [key_of(field.name) + _FILE for field in fields if field.metadata["secret"]]
        return frozenset([*(key_of(field.name) for field in fields), *secrets])

    @classmethod
    def load(cls, environ: Mapping[str, str], *, elsewhere: Collection[str] = (), **overrides: Any) -> Self:
        """Read the settings from the environment.

        Args:
            environ: names and values; those without our prefix are not looked at.
            elsewhere: keys that other processes know; they are passed over.
            overrides: command-line options, which win where they are not None.

        Raises:
            StartRefused: with every problem found, a line each.
        """
        fields = {key_of(field.name): field for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        problems = []
        for key in sorted(name for name in environ if name.startswith(PREFIX)):
            name = key if key in fields else key.removesuffix(_FILE)
            field = fields.get(name)
            if field is None or (name != key and not field.metadata["secret"]):
                if key not in elsewhere:
                    # Without its value, which may be a misspelt secret.
                    problems.append(f"{key} is no setting{_GONE.get(key, '.')}")
            elif name == key:
                try:
                    values[field.name] = parsed(field.type, environ[key])
                except ValueError as error:
                    problems.append(f"{_named(field, environ[key])} {error}.")
            elif name in environ:
                problems.append(f"{name} and {key} must not both be set.")
            else:
                try:
                    values[field.name] = secret_in(environ[key])
                except ValueError as error:
                    problems.append(f"{key} {error}.")  # without its value, which may be the secret
        values.update({name: value for name, value in overrides.items() if value is not None})
        settings = cls(**values)
        problems += settings.problems()
        if problems:
            raise StartRefused("\n".join(problems))
        return settings

    def problems(self) -> list[str]:
        """Say what is wrong with these values, each a sentence with the setting and its value, masked if secret."""
        fields = {field.name: field for field in dataclasses.fields(self)}
        rules = [
            (name, bounds.hold(getattr(self, name)), str(bounds))
            for name, field in fields.items()
            if (bounds := field.metadata["bounds"]) is not None
        ]
        rules += self.rules()
        return [f"{_named(fields[name], getattr(self, name))} {rule}." for name, holds, rule in rules if not holds]

    def rules(self) -> list[Rule]:
        """Return what must hold beyond the bounds of numbers. A part adds its own to `super().rules()`."""
        return []

    def shown(self) -> dict[str, object]:
        """Return all values, secrets masked, for the line that is printed at start."""
        shown: dict[str, object] = {}
        for field in dataclasses.fields(self):
            value = without_credentials(getattr(self, field.name))
            masked = "***" if value else ""
            shown[field.name] = masked if field.metadata["secret"] else str(value) if isinstance(value, Path) else value
        return shown


def key_of(name: str) -> str:
    """Return a field's name in the environment."""
    return PREFIX + name.upper()


def _named(field: dataclasses.Field[Any], value: object) -> str:
    shown = str(value) if isinstance(value, Path) else without_credentials(value)
    return f"{key_of(field.name)}={'***' if field.metadata['secret'] else repr(shown)}"
