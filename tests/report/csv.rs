//! `summary.csv` has the promised columns, and says exactly what was measured.

use busmark::measure::{Counts, Latencies, Quantile, Quantiles, Resources, TrialRecord};
use busmark::report::{Cell, Trial, columns, summary_csv};
use proptest::prelude::*;

use crate::fixture;

/// The list that docs and other tools rely on, word for word.
const BEFORE: &str = "scenario, target, driver, client, point, payload_bytes, publishers, subscribers, trial, verdict, \
    reasons, guarantee, offered_per_s, publishes_per_s, deliveries_per_s, bytes_per_s, sent, acked, delivered, expected, \
    lost, loss_ratio, acked_lost, pending_at_deadline, discarded, rejected, unknown, duplicate, redelivered, reordered, \
    corrupt, disconnects";
const LATENCIES: &str = "delivery_time, transit_time, service_time, response_time, send_lag, pacer_lag";
const PERCENTILES: &str = "_p50, _p90, _p99, _p99_9, _p99_99, _max";
const AFTER: &str =
    "broker_cpu_us_per_message, harness_cpu_us_per_message, broker_rss_bytes_max, started_at, seconds";

#[test]
fn the_promised_columns_come_first_and_in_their_order() {
    let mut promised: Vec<String> = BEFORE.split(", ").map(str::to_owned).collect();
    for latency in LATENCIES.split(", ") {
        promised.extend(PERCENTILES.split(", ").map(|percentile| format!("{latency}_us{percentile}")));
    }
    promised.extend(AFTER.split(", ").map(str::to_owned));
    let names: Vec<String> = columns().into_iter().map(|column| column.name).collect();
    assert_eq!(names[..promised.len()], promised);
    assert_eq!(promised.len(), 73);
}

#[test]
fn a_known_trial_gives_a_known_row() {
    let text = String::from_utf8(summary_csv(&[fixture::trial(true, 2)]).unwrap()).unwrap();
    let row = text.lines().nth(1).unwrap();
    let expected = "redis-vs-jetstream,redis-8,redis-pubsub,wire,,1024,100,100,2,SUSPECT,hiccups,\
        \"at-most-once,reply,fsync-never,r1\",20000,19998,19996,20475904,200000,200000,199960,200000,40,0.0002,,0,0,0,0,0,0,0,0,1,\
        64,112,256,608,inf,inf,57.6,100.8,230.4,547.2,inf,inf,32,56,128,304,704,1280,,,,,,,,,,,,,8,14,32,76,176,320,\
        3.2,1.9,12900002,2026-11-24T12:02:00Z,10,3.8,";
    assert!(row.starts_with(expected), "\n{row}\n{expected}");
}

fn quantile() -> impl Strategy<Value = Option<Quantile>> {
    prop_oneof![
        Just(None),
        Just(Some(Quantile::Beyond)),
        (0u64..4_000_000_000_000).prop_map(|nanos| Some(Quantile::Micros(nanos as f64 / 1e3))),
    ]
}

fn quantiles() -> impl Strategy<Value = Option<Quantiles>> {
    let all = (quantile(), quantile(), quantile(), quantile(), quantile(), quantile());
    proptest::option::of(all.prop_map(|(p50, p90, p99, p99_9, p99_99, max)| Quantiles {
        p50,
        p90,
        p99,
        p99_9,
        p99_99,
        max,
        ..Quantiles::default()
    }))
}

fn rate() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of(prop_oneof![Just(0.0), 1e-9..1e12f64])
}

prop_compose! {
    fn record()(
        names in ("[ -~]{0,12}", "[a-zµ\",\n;]{0,8}", "[0-9=, ]{0,9}"),
        rates in (rate(), rate(), rate(), rate(), rate()),
        counts in (any::<u64>(), proptest::option::of(any::<u64>()), any::<u64>(), any::<u64>(), proptest::option::of(any::<u64>())),
        latencies in (quantiles(), quantiles(), quantiles(), quantiles()),
        trial in any::<u32>(),
    ) -> TrialRecord {
        TrialRecord {
            scenario: names.0, target: names.1, point: names.2, trial,
            offered_per_s: rates.0, publishes_per_s: rates.1, deliveries_per_s: rates.2, bytes_per_s: rates.3,
            counts: Counts { sent: counts.0, acked: counts.1, lost: counts.2, expected: counts.3, acked_lost: counts.4, ..Counts::default() },
            latencies: Latencies { delivery_time: latencies.0, service_time: latencies.1, send_lag: latencies.2, last_delivery: latencies.3, ..Latencies::default() },
            resources: Resources { broker_cpu_us_per_message: rates.4, ..Resources::default() },
            ..TrialRecord::default()
        }
    }
}

/// What a reader of the file makes of a cell, given what kind of cell the column holds.
fn parsed(text: &str, like: &Cell) -> Cell {
    match like {
        Cell::Text(_) => Cell::Text(text.to_owned()),
        _ if text.is_empty() => Cell::Empty,
        Cell::Count(_) => text.parse().map_or(Cell::Empty, Cell::Count),
        Cell::Real(_) => text.parse().map_or(Cell::Empty, Cell::Real),
        Cell::Micros(_) | Cell::Empty => {
            text.parse().map_or(Cell::Empty, |us| Cell::Micros(Quantile::from_micros(us)))
        }
    }
}

proptest! {
    #[test]
    fn every_cell_reads_back_as_what_was_measured(records in proptest::collection::vec(record(), 1..4)) {
        let trials: Vec<Trial> =
            records.iter().map(|record| Trial { record: record.clone(), curves: vec![] }).collect();
        let content = summary_csv(&trials).unwrap();
        let mut reader = csv::Reader::from_reader(content.as_slice());
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(rows.len(), records.len());
        for (row, record) in rows.iter().zip(&records) {
            for (column, text) in columns().iter().zip(row) {
                let cell = column.cell(record);
                prop_assert_eq!(parsed(text, &cell), cell, "{}", column.name);
            }
        }
    }
}
