//! The HDR log opens in another implementation with equal counts and percentiles.

use std::process::Command;

use busmark::measure::{Phase, Timeline, Times};
use busmark::prng::Prng;

/// Value of `key=` in a line of the script's output.
fn field(line: &str, key: &str) -> f64 {
    let start = line.find(&format!("{key}=")).expect("the field is there") + key.len() + 1;
    line[start..].split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
#[ignore = "long: installs a package of PyPI on first use"]
fn the_log_opens_in_the_python_implementation_with_equal_counts_and_percentiles() {
    let mut timeline = Timeline::new(1_000_000_000, true);
    timeline.begin(Phase::Measure, 0);
    let (mut deliveries, mut publishes) = (timeline.delivery_recorder(0), timeline.publish_recorder());
    let mut prng = Prng::new(17);
    for message in 0..50_000u64 {
        let intended = message * 100_000;
        let times = Times { measured: true, intended: Some(intended), sent: Some(intended + 700) };
        let latency = 20_000 + (prng.exponential() * 3e6) as u64;
        publishes.sent(times, intended + 300, intended + 700);
        publishes.acked(times, intended + latency / 2);
        for copy in 0..1 + message % 2 {
            deliveries.delivered(0, times, intended + latency + copy);
        }
        if deliveries.due(intended) {
            deliveries.roll(intended, 0);
            publishes.roll(intended);
            timeline.collect(intended);
        }
    }
    let _ = deliveries.finish(5_000_000_000, 0);
    publishes.finish(5_000_000_000);
    let collected = timeline.finish();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("trial.hlog");
    let mut file = std::fs::File::create(&path).expect("a file");
    collected.log.write(&mut file, 1_764_000_000_000_000_000, &["busmark".into()]).expect("written");

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/check-hlog.py");
    let counts = [
        "delivery_time=75000",
        "transit_time=75000",
        "service_time=50000",
        "response_time=50000",
        "send_lag=50000",
        "pacer_lag=50000",
    ];
    let output = Command::new("python3").arg(script).arg(&path).args(counts).output().expect("python3");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with("delivery_time ")).expect("a line for the tag");
    let own = collected.totals.delivery.quantiles(0);
    assert_eq!(field(line, "intervals"), 5.0);
    for (key, quantile) in [("p50_us", own.p50), ("p99_us", own.p99), ("max_us", own.max)] {
        let own = quantile.expect("enough samples").micros();
        assert!((field(line, key) / own - 1.0).abs() < 1e-3, "{key}: {own} here, {line} there");
    }
}
