"""Check results as one HTML page that opens anywhere: no script, no request, all escaped."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment

from orchestration.checks.expectations import CheckResult
from orchestration.home import Home

LANDING_PAGE = "landing.html"
PAYLOAD_PAGE = "payloads.html"

_RANK = {"error": 0, "warn": 1}

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root {
  color-scheme: light dark;
  --line: #8884; --red: #b3261e; --amber: #8a5a00; --green: #1b6e3c;
}
@media (prefers-color-scheme: dark) {
  :root { --red: #ff8a80; --amber: #ffc95c; --green: #7bd69b; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; }
th, td {
  text-align: left; vertical-align: top;
  padding: .35rem .6rem; border-bottom: 1px solid var(--line);
}
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.error { color: var(--red); font-weight: 600; } .warn { color: var(--amber); font-weight: 600; }
.ok { color: var(--green); } .quiet { opacity: .75; } code { font-size: .92em; }
.scroll { overflow-x: auto; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="quiet">{{ subtitle }}</p>
<p>{% if failed %}<span class="error">{{ failed }} of {{ total }} checks failed</span>{% else %}
<span class="ok">All {{ total }} checks passed</span>{% endif %}{% if warned %},
<span class="warn">{{ warned }} warned</span>{% endif %}.</p>
{% if overview %}
<div class="scroll"><table>
<tr><th>{{ kind }}</th>{% for name in measures %}<th class="number">{{ name }}</th>{% endfor %}
<th>Checks</th></tr>
{% for row in overview %}
<tr><td><a href="#{{ row.anchor }}">{{ row.asset }}</a></td>
{% for value in row.numbers %}<td class="number">{{ value }}</td>{% endfor %}
<td class="{{ row.state }}">{{ row.words }}</td></tr>
{% endfor %}
</table></div>
{% endif %}
{% if notes %}
<h2>What needs a look</h2>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
{% endif %}
{% for section in sections %}
<h2 id="{{ section.anchor }}">{{ section.asset }}</h2>
<div class="scroll"><table>
<tr><th>Result</th><th>Check</th><th>What it asks</th><th>Found</th></tr>
{% for check in section.checks %}
<tr><td class="{{ check.state }}">{{ check.word }}</td><td><code>{{ check.name }}</code></td>
<td>{{ check.description }}</td><td>{{ check.observed }}</td></tr>
{% endfor %}
</table></div>
{% endfor %}
</body>
</html>
"""


@dataclass(frozen=True)
class _Line:
    """One check as the page shows it."""

    name: str
    description: str
    observed: str
    state: str
    word: str


def state_of(check: CheckResult) -> str:
    """ok, warn or error."""
    if check.passed:
        return "ok"
    return "warn" if check.severity == "warn" else "error"


def render(
    title: str,
    subtitle: str,
    results: Iterable[CheckResult],
    counts: Mapping[str, Mapping[str, int]] | None = None,
    notes: Iterable[str] = (),
    kind: str = "Table",
) -> str:
    """The page as text: summary first, assets with failures first, failed checks first."""
    by_asset: dict[str, list[CheckResult]] = {asset: [] for asset in counts or {}}
    for check in results:
        by_asset.setdefault(check.asset, []).append(check)
    ordered = sorted(by_asset.items(), key=lambda item: (_worst(item[1]), item[0]))
    measures = sorted({name for each in (counts or {}).values() for name in each}, key=_measure)
    everything = [check for checks in by_asset.values() for check in checks]
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(_TEMPLATE).render(
        title=title,
        subtitle=subtitle,
        kind=kind,
        total=len(everything),
        failed=sum(state_of(check) == "error" for check in everything),
        warned=sum(state_of(check) == "warn" for check in everything),
        measures=measures,
        overview=[
            _overview(asset, checks, (counts or {}).get(asset, {}), measures)
            for asset, checks in ordered
        ],
        notes=list(notes),
        sections=[
            {"asset": asset, "anchor": _anchor(asset), "checks": _lines(checks)}
            for asset, checks in ordered
            if checks
        ],
    )


def write_landing_report(
    home: Home, as_of: date, results: Iterable[CheckResult], report: Mapping[str, Any]
) -> Path:
    """Write `landing.html` from the checks and `LandingReport.as_dict()`."""
    names = ("files", "landed", "loaded", "rejected", "duplicate", "suppressed")
    counts = {
        asset: {name: table[name] for name in names} | {"refused": len(table["refused"])}
        for asset, table in report["tables"].items()
    }
    notes = [f"Refused: {line}" for line in report["refused"]]
    notes += [f"Left alone: {line}" for line in report["ignored"]]
    for asset, table in report["tables"].items():
        notes += [f"Waiting: {line}" for line in table["waiting"]]
        notes += [
            f"{asset}: {n:,} rows rejected by {r}" for r, n in table["rejected_by_rule"].items()
        ]
        if table["unknown_columns"]:
            notes.append(f"{asset}: unknown columns {', '.join(table['unknown_columns'])}")
    page = render("Landing", f"As of {as_of.isoformat()}", results, counts, notes)
    return _write(home.reports / LANDING_PAGE, page)


def write_payload_report(home: Home, as_of: date, results: Iterable[CheckResult]) -> Path:
    """Write `payloads.html`."""
    page = render("Outgoing payloads", f"As of {as_of.isoformat()}", results, kind="Sync")
    return _write(home.reports / PAYLOAD_PAGE, page)


def keep_payload_checks(home: Home, as_of: date, sync: str, results: Iterable[CheckResult]) -> Path:
    """Keep one sync's verdict and write the page with the latest of each sync."""
    folder = home.state / "payload_checks"
    folder.mkdir(parents=True, exist_ok=True)
    kept = json.dumps([asdict(result) for result in results])
    (folder / f"{sync}.json").write_text(kept, encoding="utf-8")
    every = [
        CheckResult(**told)
        for path in sorted(folder.glob("*.json"))
        for told in json.loads(path.read_text(encoding="utf-8"))
    ]
    return write_payload_report(home, as_of, every)


def _write(path: Path, page: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(page, encoding="utf-8")
    fresh.replace(path)
    return path


def _measure(name: str) -> int:
    order = ("files", "landed", "loaded", "rejected", "duplicate", "suppressed", "refused")
    return order.index(name) if name in order else len(order)


def _worst(checks: list[CheckResult]) -> int:
    return min((_RANK.get(state_of(check), 2) for check in checks), default=3)


def _anchor(asset: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in asset)


def _lines(checks: list[CheckResult]) -> list[_Line]:
    words = {"ok": "passed", "warn": "warning", "error": "failed"}
    lines = [
        _Line(c.name, c.description, c.observed, state_of(c), words[state_of(c)]) for c in checks
    ]
    return sorted(lines, key=lambda line: _RANK.get(line.state, 2))


def _overview(
    asset: str, checks: list[CheckResult], counts: Mapping[str, int], measures: list[str]
) -> dict[str, Any]:
    failed = sum(state_of(check) == "error" for check in checks)
    warned = sum(state_of(check) == "warn" for check in checks)
    state = "error" if failed else "warn" if warned else "ok"
    words = f"{failed} failed" if failed else f"{warned} warned" if warned else "passed"
    return {
        "asset": asset,
        "anchor": _anchor(asset),
        "numbers": [f"{counts.get(name, 0):,}" for name in measures],
        "state": state,
        "words": words if checks else "none",
    }
