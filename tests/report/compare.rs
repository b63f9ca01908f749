//! Several runs side by side: ratios, how sure they are, and what makes them mean less.

use busmark::measure::Quantile;
use busmark::report::{Comparison, Loaded, Page, ResultsFolder, Trial};

use crate::fixture;

/// A finished run of six trials, changed by `change`.
fn run(root: &std::path::Path, change: impl Fn(&mut Trial)) -> Loaded {
    let mut folder = ResultsFolder::create(root, fixture::NOON, fixture::manifest(6)).expect("a folder");
    for mut trial in fixture::trials(6) {
        change(&mut trial);
        folder.append(trial).expect("room");
    }
    folder.finish(fixture::NOON, false).expect("charts");
    ResultsFolder::open(folder.path()).expect("a run")
}

fn slower(factor: f64) -> impl Fn(&mut Trial) {
    move |trial| {
        if let Some(quantiles) = &mut trial.record.latencies.delivery_time {
            quantiles.p99 = quantiles.p99.map(|p99| Quantile::Micros(p99.micros() * factor));
        }
    }
}

#[test]
fn a_run_half_as_fast_shows_twice_the_latency_with_an_interval_that_excludes_one() {
    let root = tempfile::tempdir().unwrap();
    let comparison = Comparison::of(&[run(root.path(), |_| {}), run(root.path(), slower(2.0))]);
    let own = |column: &str| {
        let of = |d: &&busmark::report::Difference| d.target == "nats-2.11" && d.column == column;
        comparison.differences.iter().find(of).unwrap().runs[1].unwrap().ratio.unwrap()
    };
    let p99 = own("delivery_time_us_p99");
    assert!((p99.ratio - 2.0).abs() < 0.01 && p99.interval.unwrap().low > 1.5, "{p99:?}");
    let p50 = own("delivery_time_us_p50");
    let interval = p50.interval.unwrap();
    assert!(interval.low < 1.0 && 1.0 < interval.high, "an equal figure's interval holds 1: {p50:?}");
    assert!(comparison.differences.iter().all(|difference| difference.runs[0].unwrap().ratio.is_none()));
}

#[test]
fn the_table_names_the_runs_and_marks_ratios_with_their_interval() {
    let root = tempfile::tempdir().unwrap();
    let comparison = Comparison::of(&[run(root.path(), |_| {}), run(root.path(), slower(2.0))]);
    for text in [comparison.console(Page { width: 140, colour: false }), comparison.markdown()] {
        assert!(text.contains("redis-vs-jetstream-20261124T120000Z-2"), "{text}");
        let row = text.lines().find(|line| line.contains("delivery time p99 ")).unwrap();
        assert!(row.contains("268 µs") && row.contains("536 µs ×2.00 [1.83 – 2.18]"), "{row}");
        assert!(text.contains("has trials that are SUSPECT"), "{text}");
    }
    let csv = String::from_utf8(comparison.csv().unwrap()).unwrap();
    let row = csv.lines().find(|line| line.contains("-2,nats-2.11,,delivery_time_us_p99")).unwrap();
    assert_eq!(row.split(',').count(), 11);
}

#[test]
fn another_machine_scenario_or_promise_is_pointed_out() {
    let root = tempfile::tempdir().unwrap();
    let mut other = run(root.path(), |_| {});
    let base = other.clone();
    other.manifest.environment = serde_json::json!({ "cpu_model": "B", "load_average": [1.0] });
    let mut base_with = base.clone();
    base_with.manifest.environment = serde_json::json!({ "cpu_model": "A", "load_average": [2.0] });
    other.manifest.scenario_filled_in = "rate = 2".to_owned();
    other.manifest.targets[1].guarantee = "at-most-once".to_owned();
    let warnings = Comparison::of(&[base_with, other]).warnings.join("\n");
    for words in
        ["ran another scenario", "setting of it: cpu model\n", "not alike: nats-2.11 promised at-least-once"]
    {
        assert!(warnings.contains(words), "{words}\n{warnings}");
    }
    let same = Comparison::of(&[base.clone(), base]).warnings;
    assert!(same.iter().all(|warning| warning.contains("SUSPECT")), "{same:?}");
}

#[test]
fn runs_without_a_common_target_say_so() {
    let root = tempfile::tempdir().unwrap();
    let base = run(root.path(), |_| {});
    let mut other = base.clone();
    other.trials.iter_mut().for_each(|trial| trial.record.target.push('x'));
    let comparison = Comparison::of(&[base, other]);
    assert!(comparison.differences.is_empty());
    assert!(comparison.console(Page { width: 80, colour: false }).contains("no target in common"));
}
