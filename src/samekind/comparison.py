"""What an evaluation that was run again agrees in, and why it does not where it does not.

Knows two cards. Runs nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, replace

from samekind.card import Card
from samekind.metrics import Estimate

AGREES, WITHIN, DIFFERS = "agrees", "agrees within the last digits", "differs"
EXPLAINING = ("model.name", "data.source", "versions.", "machine.")
"""Fields that may differ in an evaluation that is reproduced."""
PARTS = {"protocol": "options", "seed": "options", "n_trials": "trials"}
"""Fields that share the reason of another."""


@dataclass(frozen=True)
class Finding:
    """How one field of a card came out when it was run again.

    Args:
        field: e.g. "metrics.eer".
        verdict: AGREES, WITHIN or DIFFERS.
        expected: what the card says, as it is read.
        got: what came out.
        why: it differs; "" where it does not.
        decides: whether an evaluation in which it differs counts as not reproduced.
    """

    field: str
    verdict: str
    expected: str
    got: str
    why: str
    decides: bool


def compare(card: Card, again: Card) -> tuple[Finding, ...]:
    """What an evaluation that was run again agrees in, field by field.

    The evaluation is reproduced where no finding that decides differs. Names of places, versions and machines do not
    decide: they explain. The tolerance is that of the second run, lest a card vouch for itself.

    Args:
        card: from `read_card`.
        again: from `make_card`, of the second run.
    """
    reasons = _reasons(card, again)
    before, after = (dict(_identity(asdict(c))) for c in (card, again))
    findings = []
    for name in before | after:
        same = before.get(name) == after.get(name)
        part = name.partition(".")[0]
        why = "" if same else reasons.get(PARTS.get(part, part), "")
        decides = not name.startswith(EXPLAINING)
        shown = _shown(before.get(name)), _shown(after.get(name))
        findings.append(Finding(name, AGREES if same else DIFFERS, *shown, why, decides))
    why = "; ".join(reasons.values())
    return (*findings, *(_compare_metric(name, card, again, why) for name in card.metrics | again.metrics))


def reproduces(findings: tuple[Finding, ...]) -> bool:
    """Whether no finding that decides differs."""
    return not any(finding.decides and finding.verdict == DIFFERS for finding in findings)


def _identity(content: Mapping[str, object], within: str = "") -> Iterator[tuple[str, object]]:
    """The fields of a card but its figures, each by its dotted name."""
    for key, value in content.items():
        if isinstance(value, dict) and key not in ("metrics", "tolerance"):
            yield from _identity(value, f"{within}{key}.")
        elif key not in ("format", "metrics", "tolerance"):
            yield f"{within}{key}", value


def _reasons(card: Card, again: Card) -> dict[str, str]:
    """Why figures may differ, by the part of the card that says so."""
    reasons = {}
    if (card.protocol, card.options, card.seed) != (again.protocol, again.options, again.seed):
        reasons["options"] = "another protocol, other options or another seed"
    if (card.data.fingerprint, card.data.split) != (again.data.fingerprint, again.data.split):
        counts = [f"{data.images:,} images of {data.classes:,} classes" for data in (card.data, again.data)]
        reasons["data"] = "other data" + (f": {counts[1]} instead of {counts[0]}" if counts[0] != counts[1] else "")
    if card.trials != again.trials:
        reasons["trials"] = "other trials" + ("" if reasons else " from the same data, options and seed")
    if card.model.fingerprint != again.model.fingerprint:
        reasons["model"] = "another bundle"
    elif card.model != replace(again.model, name=card.model.name):
        reasons["model"] = "another calibration"
    if card.versions != again.versions:
        names = sorted(name for name in card.versions | again.versions if _version(card, name) != _version(again, name))
        reasons["versions"] = "other versions: " + ", ".join(
            f"{name} {_version(again, name)} instead of {_version(card, name)}" for name in names
        )
    if card.machine != again.machine:
        reasons["machine"] = "another machine"
    return reasons


def _version(card: Card, name: str) -> str:
    return card.versions.get(name, "none")


def _compare_metric(name: str, card: Card, again: Card, reasons: str) -> Finding:
    expected, got = card.metrics.get(name), again.metrics.get(name)
    if expected == got:
        verdict = AGREES
    elif expected is None or got is None:
        verdict = DIFFERS
    else:
        allowed = astuple(again.tolerance.metrics[name])
        off = [abs(one - other) for one, other in zip(astuple(expected), astuple(got), strict=True)]
        verdict = WITHIN if all(o <= a for o, a in zip(off, allowed, strict=True)) else DIFFERS
    why = "" if verdict != DIFFERS else reasons or "nothing that a card holds explains it"
    return Finding(f"metrics.{name}", verdict, _shown(expected), _shown(got), why, decides=True)


def _shown(value: object) -> str:
    if isinstance(value, Estimate):
        return f"{value.value:.10g} ({value.low:.10g} to {value.high:.10g})"
    if isinstance(value, str) and len(value) == 64:  # a digest
        return value[:12]
    return "none" if value is None else str(value)
