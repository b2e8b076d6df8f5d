"""What a run came to, for people."""

import statistics


def render(settings, result):
    lines = [
        f"seed {settings.seed}, store {settings.store}: {result.total()} requests in"
        f" {result.seconds:.0f} s, {result.violation_count} untrue",
        "",
        "| outcome | kind | requests |",
        "|---|---|---|",
    ]
    for (sort, kind), count in sorted(result.counts.items()):
        lines.append(f"| {sort} | {kind} | {count} |")
    lines.append(f"| untrue | | {result.violation_count} |")
    lines += ["", f"late by the machine's fault: {result.late}"]
    for name, count in sorted(result.degraded.items(), key=str):
        if count:
            lines.append(f"degraded, {name}: {count}")
    if result.disturbances:
        done = ", ".join(f"{name} {n}" for name, n in sorted(result.disturbances.items()))
        lines.append(f"disturbances: {done}")
    lines += [f"UNTRUE: {violation}" for violation in result.violations]
    return "\n".join(lines)


def thirds(samples):
    """The means of the first, the middle and the last third."""
    size = max(1, len(samples) // 3)
    parts = samples[:size], samples[size : 2 * size], samples[2 * size :] or samples[-1:]
    return [statistics.mean(part) for part in parts]


def render_samples(result):
    lines = ["| program | resident MiB, thirds | descriptors, thirds | samples |", "|---|---|---|---|"]
    for name, samples in sorted(result.samples.items()):
        memory = " / ".join(f"{mean / 2**20:.1f}" for mean in thirds([s[0] for s in samples]))
        descriptors = " / ".join(f"{mean:.0f}" for mean in thirds([s[1] for s in samples]))
        lines.append(f"| {name} | {memory} | {descriptors} | {len(samples)} |")
    return "\n".join(lines)


def growth(result):
    """What is no longer flat: memory that grew by a twentieth and 2 MiB from the middle to the last
    third, descriptors by a twentieth and 10."""
    grown = []
    for name, samples in result.samples.items():
        for what, index, slack in (("memory", 0, 2 << 20), ("descriptors", 1, 10)):
            _, middle, last = thirds([sample[index] for sample in samples])
            if last > middle * 1.05 + slack:
                grown.append(f"{what} of {name} grew from {middle:.0f} to {last:.0f}")
    return grown
