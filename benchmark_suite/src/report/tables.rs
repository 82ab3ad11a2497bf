//! Tables of a suite, and the sentences that say how to read them.

use velo_comparison::figure::Interval;
use velo_comparison::report::score_sentence;
use velo_comparison::score::aggregate;
use velo_comparison::table::{Align, Cell, Table};

use crate::findings::{Findings, METRICS, Standing};

const NOTHING: &str = "–";

/// A row per contender with all its scores.
pub fn summary_table(findings: &Findings) -> Table {
    let mut table = Table::new([
        ("contender", Align::Left),
        ("trials", Align::Right),
        ("training ratio", Align::Right),
        ("validation ratio", Align::Right),
        ("test ratio", Align::Right),
        ("P(better)", Align::Right),
        ("gap", Align::Right),
        ("speed-up", Align::Right),
        ("time score", Align::Right),
        ("lost", Align::Right),
    ]);
    let standings = findings.standings();
    let best =
        |value: &dyn Fn(&Standing) -> Option<f64>| standings.iter().filter_map(value).fold(f64::NEG_INFINITY, f64::max);
    let best_ratio = [0, 1, 2].map(|metric| best(&|standing| standing.ratios[metric].map(|interval| interval.value)));
    let best_speed = best(&|standing| standing.speed_up.map(|interval| interval.value));
    let best_time = best(&|standing| standing.time_score);
    for standing in &standings {
        let is_baseline = standing.contender == findings.suite.baseline;
        let mut row = vec![Cell::from(&standing.contender), count(standing.settings_tried)];
        for (interval, best) in standing.ratios.iter().zip(best_ratio) {
            row.push(match interval {
                Some(interval) if is_baseline => Cell::number(interval.value, "1 (baseline)"),
                Some(interval) => with_interval(Some(*interval)).marked(interval.value == best),
                None => Cell::from(NOTHING),
            });
        }
        row.push(decimals(standing.improvement.map(|interval| interval.value), 2));
        row.push(decimals(standing.gaps[1], 2));
        let speed = standing.speed_up.map(|interval| interval.value);
        row.push(decimals(speed, 2).marked(speed == Some(best_speed)));
        row.push(decimals(standing.time_score, 3).marked(standing.time_score == Some(best_time)));
        row.push(Cell::number(standing.lost as f64, format!("{}/{}", standing.lost, standing.runs)));
        table.push(row);
    }
    table
}

/// Sentences on what the columns of the summary are, and which problems are left out of it.
pub fn explanations(findings: &Findings) -> Vec<String> {
    let suite = findings.suite;
    let mut sentences = vec![
        score_sentence(&suite.baseline, &suite.score),
        format!(
            "P(better): probability that a run ends with a lower validation loss than one of {}, mean of the Mann–Whitney \
             statistics of all problems. Gap: mean shortfall of the validation ratio below one.",
            suite.baseline
        ),
    ];
    sentences.push(match &suite.envelope {
        Some(envelope) => format!(
            "Speed-up: steps that {} needs for the contender's smoothed training loss, with the best of its rates at each \
             step, over the steps of the contender; interquartile mean over problems, at most {}. A schedule alone gains on \
             it. Time score: area under the performance profile.",
            envelope.contender, envelope.factor
        ),
        None => "Speed-up: not measured, the suite has no envelope. Time score: area under the performance profile.".to_owned(),
    });
    for (number, metric) in METRICS.into_iter().enumerate() {
        let saturated: Vec<&str> = findings.saturated(number).collect();
        if !saturated.is_empty() {
            sentences.push(format!(
                "Left out of the ratio of the {}, because {} ends within a factor two of the floor: {}.",
                metric.label(),
                suite.baseline,
                saturated.join(", ")
            ));
        }
    }
    sentences
}

/// Steps to the target, a row per problem and a column per contender.
pub fn target_table(findings: &Findings) -> Table {
    let times = &findings.times;
    let columns = times.contenders.iter().map(|label| (label.as_str(), Align::Right));
    let mut table = Table::new([("steps to target", Align::Left)].into_iter().chain(columns));
    for (at, problem) in times.problems.iter().enumerate() {
        let fastest = times.steps.iter().map(|own| own[at]).fold(f64::INFINITY, f64::min);
        let cells = times.steps.iter().map(|own| match own[at] {
            steps if steps.is_finite() => Cell::number(steps, format!("{steps:.0}")).marked(steps == fastest),
            _ => Cell::number(f64::INFINITY, "∞"),
        });
        table.push([Cell::from(problem)].into_iter().chain(cells).collect());
    }
    let scores = (0..times.contenders.len()).map(|contender| decimals(times.score(contender), 3));
    table.push([Cell::from("score")].into_iter().chain(scores).collect());
    table
}

/// What every contender costs.
pub fn cost_table(findings: &Findings) -> Table {
    let mut table = Table::new([
        ("contender", Align::Left),
        ("trials", Align::Right),
        ("optimizer, ns/parameter", Align::Right),
        ("state, bytes/parameter", Align::Right),
        ("step, µs", Align::Right),
        ("rate width, decades", Align::Right),
    ]);
    for standing in findings.standings() {
        table.push(vec![
            Cell::from(&standing.contender),
            count(standing.settings_tried),
            decimals(standing.ns_per_parameter, 2),
            decimals(standing.state_bytes_per_parameter, 2),
            decimals(standing.us_per_step, 1),
            decimals(standing.rate_width, 2),
        ]);
    }
    table
}

/// Ratios of contenders that were told a wrong horizon.
pub fn horizon_table(findings: &Findings) -> Table {
    let mut table = Table::new([
        ("told", Align::Left),
        ("training ratio", Align::Right),
        ("validation ratio", Align::Right),
        ("test ratio", Align::Right),
    ]);
    for contender in &findings.told_wrong {
        let ratio = |metric| with_interval(aggregate(&findings.ratios(contender, metric), &findings.suite.score));
        table.push(vec![Cell::from(contender), ratio(0), ratio(1), ratio(2)]);
    }
    table
}

/// The same summary of several runs, side by side: a row per contender, two columns per run.
pub fn comparison_table(runs: &[(String, Findings)]) -> Table {
    let columns = runs.iter().flat_map(|(name, _)| {
        [(format!("{name}, training"), Align::Right), (format!("{name}, validation"), Align::Right)]
    });
    let mut table = Table::new([("ratio to baseline".to_owned(), Align::Left)].into_iter().chain(columns));
    let mut labels: Vec<&String> = runs.iter().flat_map(|(_, findings)| &findings.contenders).collect();
    let mut seen = std::collections::BTreeSet::new();
    labels.retain(|label| seen.insert(*label));
    for label in labels {
        let cells = runs.iter().flat_map(|(_, findings)| {
            [0, 1].map(|metric| with_interval(aggregate(&findings.ratios(label, metric), &findings.suite.score)))
        });
        table.push([Cell::from(label)].into_iter().chain(cells).collect());
    }
    table
}

/// The numbers behind the summary and the tables per problem: a row per contender, problem (and `all`) and quantity.
pub fn summary_csv(findings: &Findings) -> String {
    let mut text = String::from("contender,settings_tried,problem,quantity,value,low,high\n");
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut line = |standing: &Standing, problem: &str, quantity: &str, value: Option<Interval>| {
        let Some(Interval { value, low, high }) = value else { return };
        let (contender, problem) = (quoted(&standing.contender), quoted(problem));
        text.push_str(&format!("{contender},{},{problem},{quantity},{value},{low},{high}\n", standing.settings_tried));
    };
    let exact = |value: f64| Interval { value, low: value, high: value };
    for standing in findings.standings() {
        for (number, metric) in METRICS.into_iter().enumerate() {
            let quantity = format!("{}_ratio", metric.label().replace(' ', "_"));
            line(&standing, "all", &quantity, standing.ratios[number]);
            for task in findings.ratios(&standing.contender, number) {
                let interval = velo_comparison::score::aggregate_task(&task, &findings.suite.score);
                line(&standing, &task.task, &quantity, interval);
            }
        }
        line(&standing, "all", "training_gap", standing.gaps[0].map(exact));
        line(&standing, "all", "validation_gap", standing.gaps[1].map(exact));
        line(&standing, "all", "probability_of_improvement", standing.improvement);
        line(&standing, "all", "speed_up", standing.speed_up);
        for (problem, speed_up) in findings.speed_ups(&standing.contender) {
            line(&standing, problem, "speed_up", Some(exact(speed_up)));
        }
        line(&standing, "all", "time_score", standing.time_score.map(exact));
        line(&standing, "all", "rate_width_decades", standing.rate_width.map(exact));
        line(&standing, "all", "lost_share", Some(exact(standing.lost as f64 / standing.runs.max(1) as f64)));
        line(&standing, "all", "ns_per_parameter", standing.ns_per_parameter.map(exact));
        line(&standing, "all", "state_bytes_per_parameter", standing.state_bytes_per_parameter.map(exact));
        line(&standing, "all", "us_per_step", standing.us_per_step.map(exact));
    }
    text
}

/// A value with its interval in one cell, sorted by the value.
fn with_interval(interval: Option<Interval>) -> Cell {
    interval.map_or(Cell::from(NOTHING), |Interval { value, low, high }| {
        Cell::number(value, format!("{value:.3} ({low:.3} to {high:.3})"))
    })
}

fn count(number: usize) -> Cell {
    Cell::number(number as f64, number.to_string())
}

fn decimals(value: Option<f64>, places: usize) -> Cell {
    value.map_or(Cell::from(NOTHING), |value| Cell::number(value, format!("{value:.places$}")))
}
