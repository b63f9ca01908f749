//! `busmark doctor`: what on this machine would spoil a measurement, and what to do about it.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::exit::{Exit, complain, say};
use crate::campaign::{self, Interrupt, Noise, Spread};
use crate::measure::{Conditions, Diagnosis, Host, Weight, diagnose};
use crate::report::humanise;

/// Flags of `busmark doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  busmark doctor\n  busmark doctor --no-trials --json\n\n\
    Exit codes: 0 nothing spoils a measurement (though something may add noise), 3 something does.")]
pub(super) struct DoctorArgs {
    /// Only look; don't measure the bundled engine against itself (half a minute).
    #[arg(long)]
    no_trials: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Found {
    diagnoses: Vec<Diagnosis>,
    /// Empty without trials.
    noise: Option<Noise>,
    conditions: Conditions,
}

/// Looks, measures, and says.
///
/// # Errors
/// When the bundled engine can't be measured.
pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let host = Host::default();
    // The trials that follow are load of our own.
    let before = host.environment().load_average;
    let since = host.cpu_times();
    let mut interrupted = false;
    let noise = if args.no_trials {
        None
    } else {
        if !args.json {
            complain("measuring the bundled engine against itself, half a minute");
        }
        let interrupt = Interrupt::listen().context("could not listen for Ctrl-C")?;
        let (noise, ending) = campaign::noise(&interrupt, |_| {})
            .context("the bundled engine could not be measured against itself")?;
        interrupted = ending.interrupted;
        Some(noise)
    };
    let mut conditions = host.conditions(since.filter(|_| noise.is_some()));
    conditions.environment.load_average = before;
    let found = Found { diagnoses: diagnose(&conditions), noise, conditions };
    say(&if args.json { serde_json::to_string_pretty(&found)? } else { text(&found) });
    let spoiled = found.diagnoses.iter().any(|one| one.weight == Weight::Spoils);
    let exits = [(interrupted, Exit::Interrupted), (spoiled, Exit::Inconclusive)];
    Ok(Exit::worst(exits.into_iter().filter(|(is, _)| *is).map(|(_, exit)| exit)).code())
}

fn text(found: &Found) -> String {
    let width = found.diagnoses.iter().map(|one| one.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Diagnosis { what, weight, found, remedy } in &found.diagnoses {
        text += &format!("{:7} {what:width$}  {found}\n", word(*weight));
        if !remedy.is_empty() {
            text += &format!("{:7} {:width$}  → {remedy}\n", "", "");
        }
    }
    if let Some(noise) = &found.noise {
        text += &noise_text(noise);
    }
    text.trim_end().to_owned()
}

fn word(weight: Weight) -> &'static str {
    match weight {
        Weight::Fine => "ok",
        Weight::NotTold => "?",
        Weight::Mind => "MIND",
        Weight::Spoils => "SPOILS",
    }
}

/// What the A/A says, and what it means.
fn noise_text(noise: &Noise) -> String {
    let mut text = format!(
        "\nThe bundled engine against itself, {} trials a side (delivery time, 8,000 messages a second):\n",
        noise.trials
    );
    for (name, spread) in [("p50", noise.p50), ("p99", noise.p99)] {
        text += &match spread {
            Some(spread) => format!("  {name}  {}\n", spread_text(&spread)),
            None => format!("  {name}  not measured\n"),
        };
    }
    if !noise.reasons.is_empty() {
        text += &format!("  verdicts held: {}\n", noise.reasons.join(", "));
    }
    text
}

fn spread_text(spread: &Spread) -> String {
    let percent = |share: f64| humanise::percent(share);
    let varies = spread.variation.map_or_else(
        || "varies without bound".to_owned(),
        |v| format!("varies by {} from trial to trial", percent(v)),
    );
    let apart = match (spread.interval, spread.smallest_effect()) {
        (Some((low, high)), Some(effect)) => format!(
            "A against A ×{:.2} [{low:.2} – {high:.2}]: less than {} between two systems means nothing here",
            spread.ratio,
            percent(effect)
        ),
        _ => format!("A against A ×{:.2}; too few trials for an interval", spread.ratio),
    };
    format!("{}, {varies}; {apart}", humanise::micros(spread.median_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_said_with_its_weight_and_remedy_and_the_noise_with_what_it_means() {
        let spread =
            Spread { median_us: 412.0, variation: Some(0.14), ratio: 1.02, interval: Some((0.9, 1.1)) };
        let found = Found {
            diagnoses: vec![
                Diagnosis { what: "cores", weight: Weight::Fine, found: "8".into(), remedy: "" },
                Diagnosis { what: "turbo", weight: Weight::Mind, found: "on".into(), remedy: "turn it off" },
            ],
            noise: Some(Noise { trials: 6, p50: None, p99: Some(spread), reasons: vec!["steal".into()] }),
            conditions: Conditions::default(),
        };
        let text = text(&found);
        assert!(
            text.contains("ok      cores  8\nMIND    turbo  on\n               → turn it off\n"),
            "{text}"
        );
        assert!(text.contains("412 µs, varies by 14.0 % from trial to trial"), "{text}");
        assert!(text.contains("×1.02 [0.90 – 1.10]: less than 11.1 % between two systems"), "{text}");
        assert!(text.contains("p50  not measured") && text.contains("verdicts held: steal"), "{text}");
    }
}
