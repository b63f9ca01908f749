#!/usr/bin/env python3
"""Opens an HDR log with another implementation (the `hdrhistogram` package of PyPI) and compares its counts.

    scripts/check-hlog.py FILE.hlog [TAG=COUNT ...]

Prints one line a tag: intervals, samples, p50, p99 and maximum in microseconds. With TAG=COUNT arguments exactly
these tags must be there with exactly these sample counts, else it says what differs and exits 1. The package is
installed into target/check-hlog/ on first use.
"""

import os
import subprocess
import sys
from pathlib import Path

PACKAGE = "hdrhistogram==0.10.8"
HOME = Path(__file__).resolve().parent.parent / "target" / "check-hlog"


def import_hdrh():
    """The package, from wherever it is; else run again inside a virtual environment that has it."""
    try:
        import hdrh.histogram
        import hdrh.log

        return hdrh
    except ImportError:
        python = HOME / "bin" / "python3"
        if Path(sys.prefix) == HOME:
            sys.exit(f"check-hlog: {PACKAGE} is installed in {HOME} and can't be imported")
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        os.execv(str(python), [str(python), *sys.argv])


def totals(hdrh, path):
    """Per tag: number of intervals, and all of them added up."""
    reference = hdrh.histogram.HdrHistogram(1, 3_600_000_000_000, 3)
    reader = hdrh.log.HistogramLogReader(path, reference)
    sums = {}
    while (interval := reader.get_next_interval_histogram()) is not None:
        count, total = sums.get(interval.get_tag(), (0, hdrh.histogram.HdrHistogram(1, 3_600_000_000_000, 3)))
        total.add(interval)
        sums[interval.get_tag()] = (count + 1, total)
    return sums


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    hdrh = import_hdrh()
    sums = totals(hdrh, sys.argv[1])
    for tag, (intervals, total) in sorted(sums.items()):
        p50, p99 = (total.get_value_at_percentile(q) / 1e3 for q in (50, 99))
        highest = total.get_max_value() / 1e3
        print(f"{tag} intervals={intervals} count={total.get_total_count()} p50_us={p50:.3f} p99_us={p99:.3f} max_us={highest:.3f}")
    if len(sys.argv) > 2:
        expected = {tag: int(count) for tag, count in (argument.split("=") for argument in sys.argv[2:])}
        found = {tag: total.get_total_count() for tag, (_, total) in sums.items()}
        if found != expected:
            sys.exit(f"check-hlog: counts differ: expected {expected}, found {found}")


if __name__ == "__main__":
    main()
