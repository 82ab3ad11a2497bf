//! The thread that judges snapshots while the workers train, and the choice in the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use velo_comparison::Trial;
use velo_optimizer::Architecture;

use super::config::ValidationConfig;
use super::judge::{Judge, NORMALISED_ADAM};
use super::standing::{Standing, ranked};
use super::standings;
use crate::Error;
use crate::closing::evaluation::LEARNED;

/// Which snapshot is frozen, and how all of them did.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The chosen snapshot on fresh seeds.
    pub standing: Standing,
    /// Its theta.
    pub theta: Vec<f32>,
    /// All snapshots on the seeds of validation, oldest first.
    pub standings: Vec<Standing>,
    /// The candidates on fresh seeds, best first.
    pub candidates: Vec<Standing>,
    /// Normalised Adam on all seeds.
    pub normalised_adam: Standing,
    /// The chosen snapshot and all baselines on fresh seeds.
    pub trials: Vec<Trial>,
}

/// What came of choosing.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// A snapshot.
    Snapshot(Box<Choice>),
    /// Nothing yet: somebody asked to stop. The trials so far are kept.
    Interrupted,
    /// Nothing, because there is no snapshot.
    Nothing,
}

/// Time between two looks at whether somebody asks to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Snapshots of a run and the thread that judges them.
pub struct Validator {
    judge: Arc<Judge>,
    every: u64,
    snapshots: Option<Sender<u64>>,
    judged: Receiver<Result<Standing, Error>>,
    thread: Option<JoinHandle<()>>,
    known: Vec<Standing>,
}

impl Validator {
    /// With its files in the folder `root`, for a run that goes on after outer step `generation`.
    ///
    /// # Errors
    /// When a task or file of the configuration is not what it should be.
    pub fn start(
        root: PathBuf,
        config: &ValidationConfig,
        architecture: &Architecture,
        generation: u64,
    ) -> Result<Self, Error> {
        let judge = Arc::new(Judge::new(root, config.clone(), architecture.clone())?);
        let (snapshots, waiting) = unbounded();
        let (news, judged) = unbounded();
        let tell = |error| news.send(Err(error)).expect("the receiver is in scope");
        let on_file = standings::read(&judge.root).map_err(tell).ok();
        let mut known = Vec::new();
        for found in judge.snapshots()? {
            let standing = on_file.iter().flatten().find(|standing| standing.generation == found);
            match standing {
                _ if found > generation => judge.forget(found)?,
                // What follows a gap is read from its trials again: whoever is told hears of the oldest first.
                Some(standing) if judge.is_judged(found) && waiting.is_empty() => known.push(*standing),
                _ => snapshots.send(found).expect("the receiver is in scope"),
            }
        }
        if on_file.is_none_or(|on_file| on_file != known) {
            // It can be made again from the trials: no reason not to train.
            let _ = standings::write(&judge.root, &known).map_err(tell);
        }
        let (shared, before) = (Arc::clone(&judge), known.clone());
        let thread = std::thread::spawn(move || judge_all(&shared, before, &waiting, &news));
        Ok(Self { judge, every: config.every, snapshots: Some(snapshots), judged, thread: Some(thread), known })
    }

    /// What earlier parts of the run have judged, oldest first; the rest is [`news`](Self::news).
    pub fn known(&self) -> &[Standing] {
        &self.known
    }

    /// How normalised Adam stands on all seeds; none before the baselines are measured.
    pub fn normalised_adam(&self) -> Option<Standing> {
        self.judge.normalised_adam.get().copied()
    }

    /// Whether a snapshot is due after outer step `generation`.
    pub fn is_due(&self, generation: u64) -> bool {
        generation.is_multiple_of(self.every)
    }

    /// Saves a snapshot and hands it to the thread.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn take(&self, generation: u64, theta: &[f32]) -> Result<(), Error> {
        self.judge.save(generation, theta)?;
        if let (Some(snapshots), false) = (&self.snapshots, self.judge.is_judged(generation)) {
            // A thread that is gone has said why; the end of the run makes up for it.
            let _ = snapshots.send(generation);
        }
        Ok(())
    }

    /// What has been judged, or has gone wrong, since the last call.
    pub fn news(&self) -> impl Iterator<Item = Result<Standing, Error>> + '_ {
        self.judged.try_iter()
    }

    /// Judges what is left with `workers` threads, then the best snapshots again, and chooses; or leaves, after the trials at
    /// hand, once `interrupted` is set.
    ///
    /// # Errors
    /// When a comparison cannot start or a file cannot be read or written.
    pub fn choose(mut self, workers: usize, interrupted: &AtomicBool) -> Result<Chosen, Error> {
        let judge = Arc::clone(&self.judge);
        judge.threads.store(workers.max(1), Ordering::Relaxed);
        let look = || judge.stop.fetch_or(interrupted.load(Ordering::Relaxed), Ordering::Relaxed);
        look();
        let (finished, unfinished) = bounded::<()>(0);
        std::thread::scope(|scope| {
            // Ends when the sender is dropped, also by a panic.
            scope.spawn(|| {
                while unfinished.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                    look();
                }
            });
            let _finished = finished;
            self.join();
            best(&judge).map(|chosen| chosen.unwrap_or(Chosen::Interrupted))
        })
    }

    fn join(&mut self) {
        self.snapshots = None;
        if let Some(thread) = self.thread.take() {
            // A panic has cost what the thread had not yet written, nothing else.
            let _ = thread.join();
        }
    }
}

/// The best of the judged snapshots; none when told to stop.
fn best(judge: &Judge) -> Result<Option<Chosen>, Error> {
    let snapshots = judge.snapshots()?;
    if snapshots.is_empty() {
        return Ok(Some(Chosen::Nothing));
    }
    let Some(baselines) = judge.baselines()? else { return Ok(None) };
    let mut standings = Vec::with_capacity(snapshots.len());
    for snapshot in snapshots {
        let Some(standing) = judge.standing(snapshot, &baselines)? else { return Ok(None) };
        standings.push(standing);
    }
    // The thread may have failed where this did not. Only onlookers need the file.
    let _ = standings::write(&judge.root, &standings);
    let mut fresh = Vec::new();
    for candidate in ranked(standings.clone()).into_iter().take(judge.candidates()) {
        let Some(own) = judge.fresh_trials(candidate.generation)? else { return Ok(None) };
        let trials = [baselines.clone(), own].concat();
        fresh.extend(Standing::of(candidate.generation, LEARNED, &trials).map(|standing| (standing, trials)));
    }
    let candidates = ranked(fresh.iter().map(|(standing, _)| *standing).collect());
    let standing = *candidates.first().expect("a candidate has run on the seeds of the baselines");
    let (_, mut trials) = fresh.swap_remove(
        fresh.iter().position(|(own, _)| own.generation == standing.generation).expect("it is one of them"),
    );
    let seen: Vec<u64> = trials.iter().filter(|trial| trial.contender == LEARNED).map(|trial| trial.seed).collect();
    trials.retain(|trial| seen.contains(&trial.seed));
    let normalised_adam = Standing::of(0, NORMALISED_ADAM, &baselines).expect("the baselines have seeds in common");
    let theta = judge.theta(standing.generation)?;
    let choice = Choice { standing, theta, standings, candidates, normalised_adam, trials };
    Ok(Some(Chosen::Snapshot(Box::new(choice))))
}

impl Drop for Validator {
    fn drop(&mut self) {
        self.judge.stop.store(true, Ordering::Relaxed);
        self.join();
    }
}

/// Judges what is `waiting`, oldest first, and keeps the file of `standings`.
fn judge_all(
    judge: &Judge,
    mut standings: Vec<Standing>,
    waiting: &Receiver<u64>,
    news: &Sender<Result<Standing, Error>>,
) {
    let baselines = match judge.baselines() {
        Ok(Some(baselines)) => baselines,
        Ok(None) => return,
        Err(error) => {
            let _ = news.send(Err(error));
            return;
        }
    };
    if let Some(standing) = Standing::of(0, NORMALISED_ADAM, &baselines) {
        judge.normalised_adam.get_or_init(|| standing);
    }
    for snapshot in waiting {
        // A run that is resumed at a snapshot which was not judged asks for it twice.
        if standings.iter().any(|known| known.generation == snapshot) {
            continue;
        }
        let Some(outcome) = judge.standing(snapshot, &baselines).transpose() else {
            if judge.stop.load(Ordering::Relaxed) {
                return;
            }
            continue;
        };
        let mut told = Ok(());
        if let Ok(standing) = outcome {
            standings.push(standing);
            // The next one writes it again, and so does a resumed run.
            told = standings::write(&judge.root, &standings);
        }
        for item in told.err().map(Err).into_iter().chain([outcome]) {
            if news.send(item).is_err() {
                return;
            }
        }
    }
}
