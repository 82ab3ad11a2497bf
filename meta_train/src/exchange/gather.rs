//! The learner's side of any exchange: contributions until there are enough for an outer step.
//!
//! A contribution made with theta of generation `g` is used in the outer step that follows generation `now` only if
//!
//! ```text
//! now - g ≤ staleness
//! ```
//!
//! and is discarded and counted otherwise. So that this is rare, no more windows are out than can be used in time:
//! with `reports` per outer step,
//!
//! ```text
//! admitted and not yet used or discarded ≤ reports · (staleness + 1)
//! ```
//!
//! A window that begins with `q` others out is due in outer step `⌊q / reports⌋` from now, which is at most
//! `staleness`; only a worker that others overtake comes later. With a staleness of zero and one report per particle
//! this is the synchronous mode: nothing begins before all of the generation is in.

use std::collections::HashMap;
use std::time::Duration;

use super::{Contribution, Delivery, LearnerPort, Published};
use crate::Error;

/// What is in for one outer step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gathered {
    /// The contributions to use, by particle and window.
    pub contributions: Vec<Contribution>,
    /// Contributions discarded because they were too old.
    pub stale: Vec<Contribution>,
    /// Contributions that had arrived before.
    pub duplicates: u32,
}

/// What receiving once came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Nothing came in time.
    Nothing,
    /// A contribution, whatever became of it.
    Contribution,
    /// The worker of that number left; it is for the caller to replace.
    Left(u64),
}

/// Gathers contributions from a port.
pub struct Gatherer {
    port: Box<dyn LearnerPort>,
    staleness: u64,
    generation: u64,
    reports: u64,
    /// Generations before this one are discarded whatever the staleness.
    oldest: u64,
    /// Admitted, and neither used nor discarded so far.
    out: u64,
    /// The sequence number that is next from each worker.
    next: HashMap<u64, u64>,
    gathered: Gathered,
}

impl Gatherer {
    /// A gatherer that has published nothing yet; `waiting` are contributions that were in before an interruption.
    pub fn new(port: Box<dyn LearnerPort>, staleness: u64, waiting: Vec<Contribution>) -> Self {
        let out = waiting.len() as u64;
        let gathered = Gathered { contributions: waiting, ..Gathered::default() };
        Self { port, staleness, generation: 0, reports: 0, oldest: 0, out, next: HashMap::new(), gathered }
    }

    /// Publishes theta, and lets workers begin as many windows as are of use for outer steps of `reports` each.
    ///
    /// # Errors
    /// When the exchange fails.
    pub fn publish(&mut self, newest: Published, reports: u64) -> Result<(), Error> {
        (self.generation, self.reports) = (newest.generation, reports);
        self.port.publish(newest)?;
        self.judge_again();
        self.admit()
    }

    /// Whether there are enough for an outer step.
    pub fn is_full(&self) -> bool {
        self.gathered.contributions.len() as u64 >= self.reports
    }

    /// Receives once, waiting for as long as `patience`.
    ///
    /// # Errors
    /// When the exchange fails.
    pub fn receive(&mut self, patience: Duration) -> Result<Received, Error> {
        let received = match self.port.receive(patience)? {
            None => return Ok(Received::Nothing),
            Some(Delivery::Left { worker, held }) => {
                self.out = self.out.saturating_sub(u64::from(held));
                Received::Left(worker)
            }
            Some(Delivery::Contribution(contribution)) => {
                let next = self.next.entry(contribution.worker).or_default();
                if contribution.sequence < *next {
                    self.gathered.duplicates += 1;
                } else {
                    *next = contribution.sequence + 1;
                    self.judge(contribution);
                }
                Received::Contribution
            }
        };
        self.admit()?;
        Ok(received)
    }

    /// Takes what is in for an outer step; what is in beyond that waits for the next one.
    pub fn take(&mut self) -> Gathered {
        let mut gathered = std::mem::take(&mut self.gathered);
        let used = gathered.contributions.len().min(usize::try_from(self.reports).unwrap_or(usize::MAX));
        self.gathered.contributions = gathered.contributions.split_off(used);
        self.out = self.out.saturating_sub(gathered.contributions.len() as u64);
        gathered.contributions.sort_by_key(|contribution| (contribution.particle, contribution.window));
        gathered
    }

    /// What is in and was not taken.
    pub fn waiting(&self) -> &[Contribution] {
        &self.gathered.contributions
    }

    /// Discards what was made with theta of generations before this one, because that theta was bad: what is in, and what will
    /// come in.
    pub fn forget_before(&mut self, generation: u64) {
        self.oldest = generation;
        self.judge_again();
    }

    fn judge_again(&mut self) {
        for waiting in std::mem::take(&mut self.gathered.contributions) {
            self.judge(waiting);
        }
    }

    fn judge(&mut self, contribution: Contribution) {
        let age = self.generation.saturating_sub(contribution.generation);
        if age > self.staleness || contribution.generation < self.oldest {
            self.out = self.out.saturating_sub(1);
            self.gathered.stale.push(contribution);
        } else {
            self.gathered.contributions.push(contribution);
        }
    }

    fn admit(&mut self) -> Result<(), Error> {
        let most = self.reports.saturating_mul(self.staleness.saturating_add(1));
        let more = most.saturating_sub(self.out);
        self.out += more;
        if more > 0 { self.port.admit(more) } else { Ok(()) }
    }
}
