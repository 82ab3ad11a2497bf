//! The exchange for worker threads of the learner's own process: crossbeam channels, and the newest theta behind a
//! lock that is held for the time of copying a pointer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::{Contribution, Delivery, Entrance, LearnerPort, Published, WorkerPort};
use crate::Error;

/// The newest theta; none before the first, which nothing is admitted before, and none when the learner is gone.
type Newest = Arc<RwLock<Option<Published>>>;

/// Both sides of an exchange inside this process. Workers find it closed when the learner's port is dropped.
pub fn in_process() -> (InProcessLearner, InProcessEntrance) {
    let newest = Newest::default();
    let (admissions, admitted) = unbounded();
    let (sender, deliveries) = unbounded();
    let learner = InProcessLearner { newest: Arc::clone(&newest), admissions, deliveries, _open: sender.clone() };
    (learner, InProcessEntrance { newest, admitted, sender, entered: AtomicU64::new(0) })
}

/// The learner's end.
pub struct InProcessLearner {
    newest: Newest,
    admissions: Sender<()>,
    deliveries: Receiver<Delivery>,
    /// Without it the channel would be closed, and waiting in vain would not take time, while there is no worker.
    _open: Sender<Delivery>,
}

impl LearnerPort for InProcessLearner {
    fn publish(&mut self, newest: Published) -> Result<(), Error> {
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(newest);
        Ok(())
    }

    fn admit(&mut self, windows: u64) -> Result<(), Error> {
        for _ in 0..windows {
            // Without entrance and workers there is nobody to admit, and nobody who misses it.
            let _ = self.admissions.send(());
        }
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> Result<Option<Delivery>, Error> {
        Ok(self.deliveries.recv_timeout(patience).ok())
    }
}

impl Drop for InProcessLearner {
    fn drop(&mut self) {
        // Admissions that wait in the channel outlive it; this is what a worker that takes one finds.
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Where worker threads get their ports.
pub struct InProcessEntrance {
    newest: Newest,
    admitted: Receiver<()>,
    sender: Sender<Delivery>,
    entered: AtomicU64,
}

impl Entrance for InProcessEntrance {
    fn enter(&self) -> Result<Box<dyn WorkerPort>, Error> {
        Ok(Box::new(InProcessWorker {
            worker: self.entered.fetch_add(1, Ordering::Relaxed),
            newest: Arc::clone(&self.newest),
            admitted: self.admitted.clone(),
            sender: self.sender.clone(),
            holds: false,
        }))
    }
}

struct InProcessWorker {
    worker: u64,
    newest: Newest,
    admitted: Receiver<()>,
    sender: Sender<Delivery>,
    holds: bool,
}

impl WorkerPort for InProcessWorker {
    fn worker(&self) -> u64 {
        self.worker
    }

    fn fetch(&mut self) -> Result<Option<Published>, Error> {
        if !self.holds && self.admitted.recv().is_err() {
            return Ok(None);
        }
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.holds = newest.is_some();
        Ok(newest)
    }

    fn submit(&mut self, contribution: Contribution) -> Result<(), Error> {
        self.holds = false;
        // A learner that is gone wants to hear nothing more.
        let _ = self.sender.send(Delivery::Contribution(contribution));
        Ok(())
    }
}

impl Drop for InProcessWorker {
    fn drop(&mut self) {
        let _ = self.sender.send(Delivery::Left { worker: self.worker, held: self.holds });
    }
}
