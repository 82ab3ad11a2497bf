//! What a comparison consists of, and the trials that follow from it.

use crate::Error;
use crate::contender::{Contender, Setting};
use crate::problem::Problem;
use crate::runner::measure::Limits;
use crate::trial::{Metric, Role, Trial};

/// Problems × contenders × seeds.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The problems, with unique names.
    pub problems: Vec<Problem>,
    /// The contenders, with unique labels.
    pub contenders: Vec<Contender>,
    /// Seeds on which settings are chosen.
    pub tuning_seeds: Vec<u64>,
    /// Seeds that are reported; none of them is a tuning seed.
    pub report_seeds: Vec<u64>,
    /// The loss by which settings are chosen, for contenders that name none.
    pub select_by: Metric,
    /// Longer runs to read speed-ups from.
    pub envelope: Option<EnvelopePlan>,
    /// What a trial may take.
    pub limits: Limits,
    /// Worker threads.
    pub threads: usize,
}

/// Runs of every setting of one contender on the tuning seeds, several times as long as the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopePlan {
    /// Label of the contender.
    pub contender: String,
    /// How many times as long; also the largest speed-up that can be seen.
    pub factor: u64,
}

/// One trial to be run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    pub problem: &'a Problem,
    pub contender: &'a Contender,
    pub setting: &'a Setting,
    pub role: Role,
    pub seed: u64,
    /// Multiple of the problem's steps.
    pub factor: u64,
}

impl Comparison {
    /// Refuses a comparison that cannot run or would mislead, before any time is spent on it: builds every task
    /// and every setting once.
    ///
    /// # Errors
    /// [`Error::InvalidField`] naming the field; [`Error::Task`] and [`Error::Optimizer`] for what cannot be built.
    pub fn check(&self) -> Result<(), Error> {
        require(self.threads > 0, "threads", "is 0, expected at least 1")?;
        require(!self.problems.is_empty(), "tasks", "is empty, expected at least one task")?;
        require(!self.contenders.is_empty(), "contenders", "is empty, expected at least one contender")?;
        require(!self.report_seeds.is_empty(), "report_seeds", "is empty, expected at least one seed")?;
        unique("tasks", self.problems.iter().map(|problem| problem.name.as_str()))?;
        unique("contenders", self.contenders.iter().map(|contender| contender.label.as_str()))?;
        let (tuning, report) = (self.tuning_seeds.iter(), self.report_seeds.iter());
        let seeds: Vec<String> = tuning.chain(report).map(u64::to_string).collect();
        unique("tuning_seeds and report_seeds", seeds.iter().map(String::as_str))?;
        for contender in &self.contenders {
            let field = format!("contenders: {:?}", contender.label);
            require(!contender.settings.is_empty(), &field, "has no setting, expected at least one")?;
            unique(&field, contender.settings.iter().map(|setting| setting.label.as_str()))?;
            let tunable = contender.settings.len() == 1 || !self.tuning_seeds.is_empty();
            require(tunable, "tuning_seeds", "is empty, expected at least one: a contender has several settings")?;
        }
        if let Some(EnvelopePlan { contender, factor }) = &self.envelope {
            let exists = self.contenders.iter().any(|other| other.label == *contender);
            require(exists, "envelope.contender", &format!("is {contender:?}, expected the label of a contender"))?;
            require(*factor > 1, "envelope.factor", &format!("is {factor}, expected at least 2"))?;
            require(!self.tuning_seeds.is_empty(), "tuning_seeds", "is empty, expected at least one for the envelope")?;
        }
        for problem in &self.problems {
            require(problem.steps > 0, "steps", "is 0, expected at least 1")?;
            require(problem.record_every > 0, "record_every", "is 0, expected at least 1")?;
            let task = problem.task.build()?;
            for setting in self.contenders.iter().flat_map(|contender| &contender.settings) {
                setting.build(task.layout(), problem.steps)?;
            }
        }
        Ok(())
    }

    /// The part number `index` of `count` of nearly equal size: whole problems, so that tuning stays within a part.
    #[must_use]
    pub fn shard(mut self, index: usize, count: usize) -> Self {
        let mut number = 0;
        self.problems.retain(|_| {
            number += 1;
            (number - 1) % count == index
        });
        self
    }

    /// Number of trials that a run takes.
    pub fn trial_count(&self) -> usize {
        let per_problem: usize = self.tuned().map(|contender| self.tuning_trials(contender)).sum();
        let reported = self.contenders.len() * self.report_seeds.len();
        self.problems.len() * (per_problem + reported) + self.envelope_jobs().len()
    }

    /// Tuning trials of one contender on one problem; a single setting needs none.
    fn tuning_trials(&self, contender: &Contender) -> usize {
        if contender.settings.len() > 1 { contender.settings.len() * self.tuning_seeds.len() } else { 0 }
    }

    /// The contender whose tuning trials serve `contender`: the first with the same settings.
    fn tuner<'a>(&'a self, contender: &'a Contender) -> &'a Contender {
        self.contenders.iter().find(|other| other.shares_settings_with(contender)).unwrap_or(contender)
    }

    /// Contenders with tuning trials of their own.
    fn tuned(&self) -> impl Iterator<Item = &Contender> {
        let own = |contender: &&Contender| std::ptr::eq(self.tuner(contender), *contender);
        self.contenders.iter().filter(|contender| self.tuning_trials(contender) > 0).filter(own)
    }

    pub(super) fn tuning_jobs(&self) -> Vec<Job<'_>> {
        let mut jobs = Vec::new();
        for problem in &self.problems {
            for contender in self.tuned() {
                for setting in &contender.settings {
                    let job = |&seed| Job { problem, contender, setting, role: Role::Tuning, seed, factor: 1 };
                    jobs.extend(self.tuning_seeds.iter().map(job));
                }
            }
        }
        jobs
    }

    pub(super) fn envelope_jobs(&self) -> Vec<Job<'_>> {
        let mut jobs = Vec::new();
        let Some(EnvelopePlan { contender, factor }) = &self.envelope else { return jobs };
        for problem in &self.problems {
            for contender in self.contenders.iter().filter(|other| other.label == *contender) {
                for setting in &contender.settings {
                    let job = |&seed| Job { problem, contender, setting, role: Role::Envelope, seed, factor: *factor };
                    jobs.extend(self.tuning_seeds.iter().map(job));
                }
            }
        }
        jobs
    }

    pub(super) fn report_jobs(&self, tuning: &[Trial]) -> Vec<Job<'_>> {
        let mut jobs = Vec::new();
        for problem in &self.problems {
            for contender in &self.contenders {
                let metric = contender.select_by.unwrap_or(self.select_by);
                let tuner = self.tuner(contender);
                let chosen = best_setting(tuner, &problem.name, tuning, metric);
                let setting = &contender.settings[chosen];
                let job = |&seed| Job { problem, contender, setting, role: Role::Report, seed, factor: 1 };
                jobs.extend(self.report_seeds.iter().map(job));
            }
        }
        jobs
    }
}

/// The number of the setting with the lowest mean loss over the tuning trials; the first of equals.
///
/// A setting that failed has an infinite mean and is chosen only if all did.
pub(super) fn best_setting(contender: &Contender, problem: &str, tuning: &[Trial], metric: Metric) -> usize {
    let mean_loss = |setting: &Setting| {
        let own = tuning.iter().filter(|trial| {
            trial.task == problem && trial.contender == contender.label && trial.setting == setting.label
        });
        own.map(|trial| trial.loss(metric)).sum::<f64>()
    };
    let losses: Vec<f64> = contender.settings.iter().map(mean_loss).collect();
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b]));
    best.expect("a checked contender has a setting")
}

fn require(holds: bool, field: &str, problem: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::InvalidField { field: field.to_owned(), problem: problem.to_owned() }) }
}

fn unique<'a>(field: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        require(seen.insert(name), field, &format!("{name:?} occurs twice, expected unique names"))?;
    }
    Ok(())
}
