//! Independent jobs on a few threads, results in the order of the jobs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use velo_tasks::worker::single_threaded;

use crate::Error;

/// `[job(0), job(1), …, job(count - 1)]`, `workers` at a time.
///
/// # Errors
/// The first error in the order of jobs, or that a thread cannot be started.
pub fn map<T: Send>(
    count: usize,
    workers: usize,
    job: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<T, Error>)>> = Mutex::new(Vec::with_capacity(count));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = job(index);
            results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(|| single_threaded(work))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(Error::from)
        })
    })?;
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_jobs_and_the_first_error_wins() {
        assert_eq!(map(50, 4, |index| Ok(index * index)).unwrap(), (0..50).map(|i| i * i).collect::<Vec<_>>());
        let failing =
            map(50, 4, |index| if index % 20 == 7 { Err(Error::config("job", index, "no 7")) } else { Ok(()) });
        assert_eq!(failing.unwrap_err().to_string(), "job is 7, expected no 7");
    }
}
