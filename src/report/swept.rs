//! What a sweep shows: one chart over each key that takes several values.

use super::charts::{OverSwept, SweptSeries};
use super::loaded::Loaded;
use super::manifest::PointManifest;
use super::rows::LATENCIES;
use super::summary::Headline;

/// One chart for each swept key, with the key's name. Keys that only ever change together share one.
pub(super) fn charts(run: &Loaded) -> Vec<(String, OverSwept)> {
    let points = &run.manifest.points;
    let keys = points.first().map_or(0, |point| point.settings.len());
    let together = |key: usize| keys > 1 && distinct(points, key).len() == points.len();
    let charted: Vec<usize> = match (0..keys).find(|key| together(*key)) {
        Some(key) => vec![key],
        None => (0..keys).filter(|key| distinct(points, *key).len() > 1).collect(),
    };
    charted
        .into_iter()
        .map(|key| (points[0].settings[key].0.clone(), chart(run, key, together(key))))
        .collect()
}

/// The values of a key in the order of the sweep.
fn distinct(points: &[PointManifest], key: usize) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for point in points {
        let value = point.settings.get(key).map(|(_, value)| value.clone()).unwrap_or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// The chart over one key; with `together` the other keys change with it and make no series of their own.
fn chart(run: &Loaded, key: usize, together: bool) -> OverSwept {
    let points = &run.manifest.points;
    let values = distinct(points, key);
    let measured = |name: &str| run.headlines.iter().any(|h| h.median(&format!("{name}_us_p50")).is_some());
    let (metric, latency) = LATENCIES.into_iter().find(|(name, _)| measured(name)).unwrap_or(LATENCIES[0]);
    let mut series: Vec<SweptSeries> = Vec::new();
    for headline in &run.headlines {
        let Some(point) = points.iter().find(|point| point.name == headline.point) else { continue };
        let Some(place) = values.iter().position(|value| *value == point.settings[key].1) else { continue };
        let name = series_name(&headline.target, point, key, together);
        let index = series.iter().position(|one| one.name == name).unwrap_or_else(|| {
            let empty = vec![f64::NAN; values.len()];
            series.push(SweptSeries {
                name,
                p50_us: empty.clone(),
                p99_us: empty.clone(),
                delivered_per_s: empty,
            });
            series.len() - 1
        });
        let one = &mut series[index];
        one.p50_us[place] = median(headline, &format!("{metric}_us_p50"));
        one.p99_us[place] = median(headline, &format!("{metric}_us_p99"));
        one.delivered_per_s[place] = median(headline, "deliveries_per_s");
    }
    OverSwept {
        title: format!("Over {}: {}", points[0].settings[key].0, run.manifest.scenario),
        subtitle: "medians over trials".to_owned(),
        key: points[0].settings[key].0.clone(),
        values,
        latency: latency.to_owned(),
        series,
    }
}

/// The target, and the values of the other keys.
fn series_name(target: &str, point: &PointManifest, key: usize, together: bool) -> String {
    let others: Vec<String> = point
        .settings
        .iter()
        .enumerate()
        .filter(|(index, _)| !together && *index != key)
        .map(|(_, (name, value))| format!("{name}={value}"))
        .collect();
    if others.is_empty() { target.to_owned() } else { format!("{target}, {}", others.join(", ")) }
}

fn median(headline: &Headline, column: &str) -> f64 {
    headline.median(column).map_or(f64::NAN, |estimate| estimate.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::TrialRecord;
    use crate::report::manifest::Manifest;
    use crate::report::summary::headlines;

    fn run(settings: &[&[(&str, &str)]]) -> Loaded {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        let points: Vec<PointManifest> = settings
            .iter()
            .enumerate()
            .map(|(i, pairs)| PointManifest {
                name: format!("p{i}"),
                settings: pairs.iter().map(owned).collect(),
            })
            .collect();
        let records: Vec<TrialRecord> = points
            .iter()
            .enumerate()
            .map(|(i, point)| TrialRecord {
                target: "t".into(),
                point: point.name.clone(),
                deliveries_per_s: Some(i as f64),
                ..TrialRecord::default()
            })
            .collect();
        Loaded {
            dir: "x".into(),
            manifest: Manifest { points, ..Manifest::default() },
            headlines: headlines(&records.iter().collect::<Vec<_>>()),
            ..Loaded::default()
        }
    }

    #[test]
    fn a_cross_product_has_a_chart_for_each_key_with_a_line_for_each_value_of_the_other() {
        let (a, b) = (("rate", "1k/s"), ("rate", "2k/s"));
        let (x, y) = (("topics", "1"), ("topics", "8"));
        let charts = charts(&run(&[&[a, x], &[a, y], &[b, x], &[b, y]]));
        assert_eq!(charts.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["rate", "topics"]);
        let over_rate = &charts[0].1;
        assert_eq!(over_rate.values, ["1k/s", "2k/s"]);
        let lines: Vec<_> =
            over_rate.series.iter().map(|s| (s.name.as_str(), s.delivered_per_s.as_slice())).collect();
        assert_eq!(lines, [("t, topics=1", &[0.0, 2.0][..]), ("t, topics=8", &[1.0, 3.0][..])]);
    }

    #[test]
    fn zipped_keys_share_one_chart_and_no_sweep_has_none() {
        let charts_of_zip =
            charts(&run(&[&[("rate", "1k/s"), ("topics", "1")], &[("rate", "2k/s"), ("topics", "8")]]));
        assert_eq!(charts_of_zip.len(), 1);
        assert_eq!(charts_of_zip[0].1.series.len(), 1);
        assert_eq!(charts_of_zip[0].1.series[0].delivered_per_s, [0.0, 1.0]);
        assert!(charts(&run(&[])).is_empty());
    }
}
