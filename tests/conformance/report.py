"""The table that people read, and the same as JSON."""

from .grade import PROMISES

MARK = {True: "ok", False: "FAIL", None: "-"}


def row(result):
    """One line for a trial, and one line of reason for each broken promise."""
    trial, verdict = result.trial, result.verdict
    name = f"{trial.case.id} ({trial.mode})"
    if verdict is None:
        return f"{name:<45}  {'not graded: it is not known when the gateway gives up':<20}"
    marks = "  ".join(f"{_mark(verdict, promise):<4}" for promise in PROMISES)
    lines = [f"{name:<45}  {marks}  {verdict.seen}"]
    lines += [f"      {promise}: {why}" for promise, why in verdict.reasons.items() if why]
    return "\n".join(lines)


def _mark(verdict, promise):
    reason = verdict.reasons.get(promise)
    return MARK[None if reason is None else not reason]


def heading(client_api, provider_api):
    columns = "  ".join(f"{promise:<4}" for promise in PROMISES)
    return f"\n{client_api} on {provider_api}\n{'case':<45}  {columns}  seen"


def score(results, promise):
    """(kept, graded) of a promise."""
    reasons = [
        r.verdict.reasons[promise] for r in results if r.verdict and promise in r.verdict.reasons
    ]
    return sum(not reason for reason in reasons), len(reasons)


def scores(results):
    """One line per pair of APIs, and one for all."""
    pairs = list(dict.fromkeys((r.trial.client_api, r.trial.provider_api) for r in results))
    lines = [f"\n{'':<24}" + "".join(f"{promise:>16}" for promise in PROMISES)]
    for pair in pairs:
        lines.append(_score_line(" on ".join(pair), _of_pair(results, pair)))
    if len(pairs) > 1:
        lines.append(_score_line("all", results))
    return "\n".join(lines)


def _score_line(name, results):
    cells = ["%d of %d" % score(results, promise) for promise in PROMISES]
    return f"{name:<24}" + "".join(f"{cell:>16}" for cell in cells)


def as_markdown(target, results):
    """One row per case and mode, one column per pair of APIs; a cell names the broken promises."""
    pairs = list(dict.fromkeys((r.trial.client_api, r.trial.provider_api) for r in results))
    lines = [
        f"# {target}",
        "",
        "A cell names the promises that were broken; empty: does not apply.",
        "",
    ]
    lines.append("| case | " + " | ".join(" on ".join(pair) for pair in pairs) + " |")
    lines.append("|---" * (len(pairs) + 1) + "|")
    for promise in PROMISES:
        cells = ["%d of %d" % score(_of_pair(results, pair), promise) for pair in pairs]
        lines.append(f"| **{promise} kept** | " + " | ".join(cells) + " |")
    cells = {
        (r.trial.case.id, r.trial.mode, r.trial.client_api, r.trial.provider_api): r
        for r in results
    }
    for case_id, mode in dict.fromkeys((r.trial.case.id, r.trial.mode) for r in results):
        row_cells = [_cell(cells.get((case_id, mode, *pair))) for pair in pairs]
        lines.append(f"| {case_id}, {mode} | " + " | ".join(row_cells) + " |")
    return "\n".join(lines) + "\n"


def _of_pair(results, pair):
    return [r for r in results if (r.trial.client_api, r.trial.provider_api) == pair]


def _cell(result):
    if result is None:
        return ""
    if result.verdict is None:
        return "not graded"
    return ", ".join(p for p, why in result.verdict.reasons.items() if why) or "kept"


def as_json(target, results):
    return {
        "target": target,
        "scores": {p: dict(zip(("kept", "graded"), score(results, p))) for p in PROMISES},
        "trials": [_trial_as_json(result) for result in results],
    }


def _trial_as_json(result):
    trial, verdict = result.trial, result.verdict
    return {
        "case": trial.case.id,
        "about": trial.case.about,
        "means": trial.case.means,
        "mode": trial.mode,
        "client_api": trial.client_api,
        "provider_api": trial.provider_api,
        "graded": verdict is not None,
        "seen": verdict.seen if verdict else None,
        "broken": {p: why for p, why in verdict.reasons.items() if why} if verdict else {},
        "kept": [p for p, why in verdict.reasons.items() if not why] if verdict else [],
    }
