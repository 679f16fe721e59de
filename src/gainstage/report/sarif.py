"""SARIF 2.1.0: what code scanning services read."""

import json
from collections import Counter
from importlib.metadata import metadata, version
from math import isfinite
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gainstage._visible import visible
from gainstage.report._math import readable
from gainstage.report.details import Details, Place, names, sections

if TYPE_CHECKING:
    from gainstage.check import Finding, Report

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(report: "Report", details: Details | None = None) -> str:
    """The report as one SARIF log with one run.

    A finding's `where` is its logical location; its physical one is the line that calls its operation, else the source
    of that module, or of the factory, where `details` knows it. A rule that could not be judged is a notification of
    the run. With a baseline, every result says whether it is `new` or `unchanged`. Results keep their fingerprint while
    rule and kind of place stay the same. Their properties hold `value`, `quantity` and `limit` as the JSON report does.

    Args:
        report: what a check found.
        details: places, and the pages of the rules.

    Returns:
        Indented JSON, ASCII, ending in a line break.

    References:
        OASIS, *Static Analysis Results Interchange Format (SARIF) Version 2.1.0 Plus Errata 01*, 2023.
    """
    details = details or Details()
    rules = [_rule(code, name, details) for code, name in names(report, details).items()]
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    state = None if report.known is None else "new"
    results = [_result(f, index, details, state) for f in report.findings]
    results += [_result(f, index, details, "unchanged") for f in report.known or ()]
    _tell_apart(results, [*report.findings, *(report.known or ())])
    driver = {
        "name": "gainstage",
        "version": version("gainstage"),
        "semanticVersion": version("gainstage"),
        "shortDescription": {"text": "Finds what keeps a neural network from training, before it is trained."},
        "rules": rules,
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _not_judged(report, index)}],
        "automationDetails": {"id": f"gainstage/{visible(details.target or report.model)}/"},
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {"model": report.model, "parameters": report.parameters, "sites": report.sites},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=True) + "\n"


def _rule(code: str, name: str, details: Details) -> dict[str, Any]:
    described: dict[str, Any] = {"id": code, "name": "".join(word.capitalize() for word in name.split("-"))}
    rule = details.rule(code)
    if rule is None:
        return {**described, "shortDescription": {"text": name}}
    doc = readable(rule.doc)
    parts = sections(doc)
    short, why = (" ".join(parts.get(key, "").split()) for key in ("What it does", "Why is this bad?"))
    return {
        **described,
        "shortDescription": {"text": short or name},
        "fullDescription": {"text": f"{short} {why}".strip() or name},
        "help": {"text": doc or name, "markdown": doc or name},
        "defaultConfiguration": {"level": rule.severity},
        **_help_uri(code),
    }


def _help_uri(code: str) -> dict[str, str]:
    """The page of a rule, where the installed package says where its documentation is published."""
    urls = (line.partition(", ") for line in metadata("gainstage").get_all("Project-URL") or ())
    home = next((url.rstrip("/") for name, _, url in urls if name == "Documentation"), "")
    return {"helpUri": f"{home}/reference/rules/{code}.html"} if home else {}


def _result(f: "Finding", index: dict[str, int], details: Details, state: str | None) -> dict[str, Any]:
    sentence = " ".join(f"{f.where}: {f.message}.".split()).replace("..", ".")
    said = f"{sentence} Measured: {f.measured}. Expected: {f.expected}. Fix: {f.fix.text}."
    return {
        "ruleId": f.code,
        "ruleIndex": index[f.code],
        "level": f.severity,
        "message": {"text": visible(" ".join(said.split()))},
        "locations": [_location(f.where, details.place(f))],
        **({"baselineState": state} if state else {}),
        "properties": {
            "measured": f.measured,
            "value": f.value if f.value is None or isfinite(f.value) else None,
            "quantity": f.quantity,
            "limit": f.limit,
            "expected": f.expected,
            "fix": f.fix.text,
            "laws": {name: law.to_json() for name, law in f.fix.laws.items()},
            "symptoms": list(f.symptoms),
        },
    }


def _tell_apart(results: list[dict[str, Any]], findings: "list[Finding]") -> None:
    """Give every result its fingerprint."""
    from gainstage.check import fingerprint

    seen: Counter[str] = Counter()
    for result, finding in zip(results, findings, strict=True):
        kind = fingerprint(finding)
        result["partialFingerprints"] = {"codeAndPlace/v2": fingerprint(finding, seen[kind])}
        seen[kind] += 1


def _location(where: str, place: Place | None) -> dict[str, Any]:
    path, _, operation = where.partition("/")
    logical = {
        "name": operation or path.rpartition(".")[2] or where,
        "fullyQualifiedName": where,
        "kind": "function" if operation else "member",
    }
    location: dict[str, Any] = {"logicalLocations": [logical]}
    if place is not None:
        absolute = PurePath(place.file).is_absolute()
        uri = PurePath(place.file).as_uri() if absolute else quote(place.file)
        location["physicalLocation"] = {
            "artifactLocation": {"uri": uri} if absolute else {"uri": uri, "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": place.line},
        }
    return location


def _not_judged(report: "Report", index: dict[str, int]) -> list[dict[str, Any]]:
    """A rule that was not measured has not passed: the log says why."""
    return [
        {
            "level": "note",
            "message": {"text": visible(f"{rule.code} {rule.name} not judged: {rule.why}")},
            "associatedRule": {"id": rule.code, "index": index[rule.code]},
        }
        for rule in report.not_judged
    ]
