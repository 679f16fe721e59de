"""`[tool.gainstage]` of a `pyproject.toml`: which rules run, where they stay silent, how severe their findings are.

```toml
[tool.gainstage]
select = ["INI", "FWD"]       # beginnings of codes; all rules by default
ignore = ["INI103"]

[tool.gainstage.per-module-ignores]
"decoder.*.norm" = ["NRM"]    # a glob of module paths, with all that is inside

[tool.gainstage.severity]
OUT501 = "error"              # "error", "warning", "note" or "off"

[tool.gainstage.targets]      # what `gainstage check` looks at when it is given no TARGET
net = "shop/train.py:subject"
encoder = { target = "shop.models:Encoder(64)", input = "8x3x64x64" }
```
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from gainstage._foreign import fitted, toml_of
from gainstage._visible import shown, visible
from gainstage.check._registry import RULES
from gainstage.check.findings import SEVERITIES, Finding, Severity
from gainstage.errors import GainstageError

Level = Severity | Literal["off"]
_LEVELS: tuple[str, ...] = (*SEVERITIES, "off")
_KEYS = ("select", "ignore", "per-module-ignores", "severity", "targets")


class Target(Struct, forbid_unknown_fields=True):
    """A model of the project: what builds it, and the `--input` that it takes."""

    target: str
    input: str | list[str] = []

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs, one a positional argument or keyword."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)


@dataclass(frozen=True)
class Config:
    """Settings of a check.

    Args:
        select, ignore: beginnings of rule codes, as for `gs.check`.
        per_module_ignores: a glob of places to the beginnings of the codes that are not reported there. A glob matches
            a parameter, a site or a module with all that is inside: `"decoder.*"`, `"head"`, `"*.norm.weight"`.
        severity: beginnings of codes to `"error"`, `"warning"`, `"note"` or `"off"`; the longest that fits counts.
        targets: the models of the project by name.
        file: where the settings were read.

    Example:
        >>> Config(severity={"INI": "off", "INI101": "error"}).severity_of("INI101")
        'error'
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_module_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    severity: Mapping[str, Level] = field(default_factory=dict)
    file: Path | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)

    def over(self, select: Sequence[str] | str = (), ignore: Sequence[str] | str = ()) -> "Config":
        """These settings with options that win over them.

        A `select` takes the place of the file's `select` and `ignore`, and turns a rule on that is `"off"` under a
        beginning no longer than the selected one; an `ignore` is added.
        """
        chosen, dropped = _words(select), _words(ignore)
        if not chosen:
            return replace(self, ignore=(*self.ignore, *dropped))
        kept = {c: s for c, s in self.severity.items() if s != "off" or not any(w.startswith(c) for w in chosen)}
        return replace(self, select=chosen, ignore=dropped, severity=kept)

    def allowing(self, allow: Mapping[str, Sequence[str]] | Sequence[str]) -> "Config":
        """These settings with more codes that are not reported: everywhere, or by glob as in `per_module_ignores`.

        Raises:
            GainstageError: an unknown code; the message suggests the nearest.
        """
        given = allow if isinstance(allow, Mapping) else {"*": _words(allow)} if allow else {}
        more = {glob: _codes(_words(codes), f"allow at {glob!r}") for glob, codes in given.items()}
        old = self.per_module_ignores
        return replace(self, per_module_ignores={**old, **{g: (*old.get(g, ()), *codes) for g, codes in more.items()}})

    def severity_of(self, code: str) -> Level | None:
        """The severity that the settings give the findings of a rule; None where they leave it to the rule."""
        fitting = [beginning for beginning in self.severity if code.startswith(beginning)]
        return self.severity[max(fitting, key=len)] if fitting else None

    def silent_at(self, code: str, where: str) -> bool:
        """Whether `per_module_ignores` silences this rule at this place."""
        return any(
            code.startswith(tuple(codes)) and any(fnmatchcase(place, glob) for place in _places(where))
            for glob, codes in self.per_module_ignores.items()
        )

    def adjusted(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings that are not silenced, with the severities of the settings."""
        return [self._graded(f) for f in findings if not self.silent_at(f.code, f.where)]

    def _graded(self, finding: Finding) -> Finding:
        given = self.severity_of(finding.code)
        return finding if given is None or given == "off" else replace(finding, severity=given)


def find(directory: Path) -> Config:
    """The settings of the nearest `pyproject.toml` with a `[tool.gainstage]`, from a directory upwards.

    Raises:
        GainstageError: the file is no TOML, or a key, code or value in it is unknown.
    """
    for folder in (directory.resolve(), *directory.resolve().parents):
        file = folder / "pyproject.toml"
        if file.is_file() and (table := _table_in(file)) is not None:
            return parse(table, file)
    return Config()


def parse(table: Mapping[str, Any], file: Path | None = None) -> Config:
    """The settings in a `[tool.gainstage]` table.

    Raises:
        GainstageError: a key, code or value is unknown; the message suggests the nearest.

    Example:
        >>> parse({"ignore": ["INI103"]}).ignore
        ('INI103',)
    """
    name = f"[tool.gainstage] of {visible(str(file or 'pyproject.toml'))}"
    if not isinstance(table, Mapping):
        raise GainstageError(f"{name} is {shown(table)}. Expected a table with the keys {', '.join(_KEYS)}.")
    for key in table:
        if key not in _KEYS:
            near = _near(key, _KEYS)
            raise GainstageError(f"{name} has an unknown key {shown(key)}.{near} Known: {', '.join(_KEYS)}.")
    ignores, severity, targets = (_mapping(table, key, name) for key in ("per-module-ignores", "severity", "targets"))
    for code, level in severity.items():
        if level not in _LEVELS:
            near = _near(level, _LEVELS) if isinstance(level, str) else ""
            said = f"{name}: severity.{visible(code)} = {shown(level)}"
            raise GainstageError(f"{said}.{near} Expected one of {', '.join(_LEVELS)}.")
    return Config(
        _codes(table.get("select", []), f"{name}: select"),
        _codes(table.get("ignore", []), f"{name}: ignore"),
        {glob: _codes(codes, f"{name}: per-module-ignores.{shown(glob)}") for glob, codes in ignores.items()},
        {_codes([code], f"{name}: severity")[0]: level for code, level in severity.items()},
        file,
        {key: _target(value, f"{name}: targets.{visible(key)}") for key, value in targets.items()},
    )


def _target(value: Any, what: str) -> Target:
    wanted = f'{what} is {shown(value)}. Expected "net.py:build" or {{ target = "net.py:build", input = "8x64" }}'
    return Target(value) if isinstance(value, str) else fitted(value, Target, wanted)


def _table_in(file: Path) -> Mapping[str, Any] | None:
    try:
        text = file.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise GainstageError(f"cannot read {file}: {error}. Expected TOML.") from error
    tool = toml_of(text, str(file)).get("tool", {})
    return tool.get("gainstage") if isinstance(tool, dict) else None


def _mapping(table: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise GainstageError(f"{name}: {key} is {shown(value)}. Expected a table: [tool.gainstage.{key}].")
    return value


def _codes(value: Any, what: str) -> tuple[str, ...]:
    """A list of beginnings of codes, in capitals, each known."""
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise GainstageError(
            f"{what} is {shown(value)}. Expected a list of rule codes or their beginnings, as in ['INI103']."
        )
    words = tuple(word.strip().upper() for word in value)
    for word in words:
        if not word or not any(code.startswith(word) for code in RULES):
            families = sorted({code.rstrip("0123456789") for code in RULES})
            raise GainstageError(
                f"{what}: no rule has a code that begins with {shown(word)}.{_near(word, [*RULES, *families])} "
                "gainstage rule --all shows every rule."
            )
    return words


def _near(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word[:100], list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def _words(given: Sequence[str] | str) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _places(where: str) -> Iterable[str]:
    """A place and the modules around it: `a.b.weight`, `a.b`, `a`; of a site `a.b/linear#0` the same without weight."""
    yield where
    path = where.partition("/")[0]
    while path:
        yield path
        path = path.rpartition(".")[0]
