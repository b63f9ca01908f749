"""Reads the page of `busmark bench --metrics` with Prometheus's own parser, while the run goes on."""

import re
import subprocess
import sys
import tempfile
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def page(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        kind = answer.headers["Content-Type"]
        assert kind.startswith("application/openmetrics-text"), kind
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def values(families, name):
    return {tuple(sample.labels.values()): sample.value for sample in families[name].samples}


def main(program):
    command = [program, "bench", "loopback", "--rate", "5k/s", "--for", "2s", "--trials", "2"]
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.Popen(
            command + ["--no-calibration", "--metrics", "127.0.0.1:0"],
            cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )
        url = re.search(r"metrics at (\S+)", run.stderr.readline()).group(1)
        seen, finished = [], 0
        for _ in run.stderr:
            try:
                families = page(url)
            except (ConnectionError, OSError):
                break
            seen += values(families, "busmark_published_rate").values()
            finished = max(finished, sum(values(families, "busmark_trials").values()))
        run.wait(60)
    checks = [
        ("openmetrics: every page is read by prometheus_client", run.returncode in (0, 3)),
        ("openmetrics: the running trial is on it", any(rate > 0 for rate in seen)),
        ("openmetrics: finished trials are counted", finished >= 1),
    ]
    for what, good in checks:
        print("ok" if good else "FAIL", what)


main(sys.argv[1])
