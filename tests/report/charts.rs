//! Charts hold exactly the points they are given, draw text without any font of the machine, and stay on the sheet.

use busmark::report::charts::{
    self, Bars, LatencyByPercentile, OverTime, Panel, PercentileLine, PhaseSpan, TimeSeries,
};
use busmark::report::humanise;

fn percentile_line(name: &str, base: f64, lost: f64) -> PercentileLine {
    let points = (0..=400).map(|i| 1.0 - 10f64.powf(-f64::from(i) / 80.0)).map(|q| {
        (q, if q > 1.0 - lost { f64::INFINITY } else { base * (1.0 + 0.4 * -(1.0 - q).ln()).powf(1.5) })
    });
    PercentileLine { name: name.to_owned(), points: points.collect() }
}

fn latency_chart() -> LatencyByPercentile {
    LatencyByPercentile {
        title: "Delivery time by percentile: redis-vs-jetstream".to_owned(),
        subtitle: "1 KiB, 100 publishers, 100 subscribers, 20.0 k/s offered; median trial of 5".to_owned(),
        latency: "delivery time".to_owned(),
        lines: vec![
            percentile_line("redis-8", 60.0, 0.0005),
            percentile_line("nats-2.11", 90.0, 0.0),
            percentile_line("nats-2.11-memory", 75.0, 0.0),
        ],
    }
}

fn over_time() -> OverTime {
    let seconds = || (0..170).map(|i| f64::from(i) / 10.0);
    let series = |name: &str, base: f64| TimeSeries {
        name: name.to_owned(),
        p50_us: seconds().map(|t| (t, base * (1.0 + 0.1 * (t * 3.0).sin()))).collect(),
        p99_us: seconds()
            .map(|t| (t, if (6.0..6.3).contains(&t) { f64::NAN } else { base * (4.0 + (t * 5.0).sin()) }))
            .collect(),
        expected_per_s: seconds().map(|t| (t, if t < 12.0 { 20_000.0 } else { 0.0 })).collect(),
        delivered_per_s: seconds()
            .map(|t| (t, if t < 12.0 { 20_000.0 + 600.0 * (t * base).sin() } else { 0.0 }))
            .collect(),
    };
    let phase =
        |name: &str, from, to, counts| PhaseSpan { name: name.to_owned(), seconds: (from, to), counts };
    OverTime {
        title: "Over time: redis-vs-jetstream".to_owned(),
        subtitle: "median trial of each target".to_owned(),
        marks: vec![(2.0, "kill node 0".to_owned())],
        phases: vec![
            phase("warm-up", 0.0, 2.0, false),
            phase("measure", 2.0, 12.0, true),
            phase("drain", 12.0, 17.0, false),
        ],
        series: vec![series("redis-8", 60.0), series("nats-2.11", 130.0)],
    }
}

fn bars() -> Bars {
    Bars {
        title: "Throughput and loss: redis-vs-jetstream".to_owned(),
        subtitle: "medians over 5 trials; black tick: offered".to_owned(),
        rows: ["redis-8", "nats-2.11", "a-target-with-a-long-name-1.2.3"]
            .iter()
            .enumerate()
            .map(|(i, n)| ((*n).to_owned(), i))
            .collect(),
        panels: vec![
            Panel {
                heading: "published per second".to_owned(),
                label: humanise::rate,
                values: vec![Some(20_000.0), Some(14_512.0), None],
                wanted: vec![Some(20_000.0); 3],
            },
            Panel {
                heading: "delivered per second".to_owned(),
                label: humanise::rate,
                values: vec![Some(1_200_000.0), Some(1_451_200.0), Some(1_000.0)],
                wanted: vec![],
            },
            Panel {
                heading: "lost".to_owned(),
                label: humanise::percent,
                values: vec![Some(0.125), Some(0.0), None],
                wanted: vec![],
            },
        ],
    }
}

/// The value of an attribute of an XML element.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

/// All elements of this name, without their closing bracket.
fn elements<'a>(svg: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    svg.split(&format!("<{name}"))
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Vertices of each polyline of an SVG with this stroke colour, in order.
fn polylines(svg: &str, colour: &str) -> Vec<usize> {
    let own = elements(svg, "polyline").filter(|element| attribute(element, "stroke") == Some(colour));
    own.filter_map(|element| attribute(element, "points"))
        .map(|points| points.split_whitespace().count())
        .collect()
}

const BLUE: &str = "#0072B2";
const VERMILION: &str = "#D55E00";
/// Vertices of the swatch that a series has in the legend.
const SWATCH: usize = 2;

#[test]
fn a_percentile_line_has_one_vertex_for_each_point_given() {
    let chart = latency_chart();
    let svg = charts::svg(&chart).unwrap();
    assert_eq!(polylines(&svg, BLUE), [SWATCH, chart.lines[0].points.len()]);
    assert_eq!(polylines(&svg, VERMILION), [SWATCH, chart.lines[1].points.len()]);
}

#[test]
fn undelivered_messages_stand_on_a_line_of_their_own_marked_infinite() {
    let with_loss = charts::svg(&latency_chart()).unwrap();
    assert!(with_loss.contains("\n∞\n"), "no tick for infinity");
    let mut chart = latency_chart();
    chart.lines.remove(0);
    assert!(!charts::svg(&chart).unwrap().contains('∞'), "infinity without loss");
}

#[test]
fn what_was_not_measured_breaks_the_line_and_is_not_drawn_as_zero() {
    let chart = over_time();
    let svg = charts::svg(&chart).unwrap();
    let measured = |points: &[(f64, f64)]| points.iter().filter(|(_, y)| !y.is_nan()).count();
    let nats = &chart.series[1];
    let drawn = polylines(&svg, VERMILION);
    assert_eq!(drawn.len(), 1 + 1 + 2 + 1, "swatch, p50, p99 in two pieces, rate");
    assert_eq!(drawn[1], measured(&nats.p50_us));
    assert_eq!(drawn[2] + drawn[3], measured(&nats.p99_us));
    assert!(measured(&nats.p99_us) < nats.p99_us.len());
    assert_eq!(drawn[4], nats.delivered_per_s.len());
}

#[test]
fn phases_that_do_not_count_are_shaded_and_all_are_named() {
    let svg = charts::svg(&over_time()).unwrap();
    for name in ["warm-up", "measure", "drain"] {
        assert_eq!(svg.matches(&format!("\n{name}\n")).count(), 2, "{name} in both panels");
    }
    assert_eq!(svg.matches("fill=\"#F1F1F1\"").count(), 4, "two shaded phases in each of two panels");
}

#[test]
fn a_bar_is_as_long_as_its_value_and_an_unmeasured_one_is_a_dash() {
    let svg = charts::svg(&bars()).unwrap();
    let width = |colour: &str| -> Vec<f64> {
        let own = elements(&svg, "rect").filter(|rect| attribute(rect, "fill") == Some(colour));
        own.map(|rect| attribute(rect, "width").unwrap().parse().unwrap()).collect()
    };
    let (blue, vermilion) = (width(BLUE), width(VERMILION));
    assert!((vermilion[0] / blue[0] - 14_512.0 / 20_000.0).abs() < 0.01, "{blue:?} {vermilion:?}");
    assert!((blue[1] / vermilion[1] - 1.2 / 1.4512).abs() < 0.01, "{blue:?} {vermilion:?}");
    assert_eq!(svg.matches("\n–\n").count(), 2);
}

#[test]
fn png_and_svg_show_the_same_sheet_and_the_png_is_twice_as_dense() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, size, result) in [
        ("latency.png", (1920u32, 1080u32), charts::png(&latency_chart(), &dir.join("latency.png"))),
        ("over-time.png", (1920, 1440), charts::png(&over_time(), &dir.join("over-time.png"))),
        ("bars.png", (1920, 444), charts::png(&bars(), &dir.join("bars.png"))),
    ] {
        result.unwrap();
        let bytes = std::fs::read(dir.join(name)).unwrap();
        assert_eq!(&bytes[1..4], b"PNG");
        let field = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((field(16), field(20)), size, "{name}");
    }
}

#[test]
fn a_chart_of_nothing_is_an_empty_sheet_and_no_panic() {
    let empty = LatencyByPercentile {
        title: "t".to_owned(),
        subtitle: String::new(),
        latency: String::new(),
        lines: vec![],
    };
    assert!(charts::svg(&empty).unwrap().contains("50 %"));
    let (title, subtitle) = ("t".to_owned(), String::new());
    assert!(
        charts::svg(&OverTime { title, subtitle, phases: vec![], marks: vec![], series: vec![] }).is_ok()
    );
    let (title, subtitle) = ("t".to_owned(), String::new());
    assert!(charts::svg(&Bars { title, subtitle, rows: vec![], panels: vec![] }).is_ok());
}
