//! Interrupting politely: Ctrl-C or SIGTERM sets a flag that the run looks at between two outer steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flag, false until the process is asked to stop. A second request ends the process at once.
///
/// # Errors
/// When the handler cannot be installed.
pub fn flag() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::SeqCst) {
            std::process::exit(1);
        }
        eprintln!("stopping after this outer step; ask again to stop at once");
    })?;
    Ok(flag)
}
