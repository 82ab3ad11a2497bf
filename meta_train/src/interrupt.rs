//! Interrupting politely: Ctrl-C or SIGTERM sets a flag that the run looks at between two outer steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the process was asked, and whether it may simply end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
    nothing_to_lose: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on. Before [`nothing_to_lose`](Self::nothing_to_lose) the first request only sets the
    /// flag, and a second one ends the process with 1; after it, the first ends the process with 0.
    ///
    /// # Errors
    /// When the handler cannot be installed.
    pub fn listen() -> Result<Self, ctrlc::Error> {
        let interrupt = Self::default();
        let heard = interrupt.clone();
        ctrlc::set_handler(move || {
            if heard.nothing_to_lose.load(Ordering::SeqCst) {
                eprintln!("training is complete and kept; finish with: meta_train resume and the run folder");
                std::process::exit(0);
            }
            if heard.requested.swap(true, Ordering::SeqCst) {
                std::process::exit(1);
            }
            eprintln!("stopping after this outer step; ask again to stop at once");
        })?;
        Ok(interrupt)
    }

    /// True once the process was asked to stop.
    pub fn requested(&self) -> &AtomicBool {
        &self.requested
    }

    /// Says that everything is on disk: what follows can be made again from there.
    pub fn nothing_to_lose(&self) {
        self.nothing_to_lose.store(true, Ordering::SeqCst);
    }
}
