//! Where and when numbers were measured: the `environment.json` beside every result.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{Error, atomic_file};

/// Machine, compiler, program and date of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Name of the program that ran.
    pub program: String,
    /// Its version.
    pub version: String,
    /// The compiler that built it, as `rustc --version` prints it.
    pub compiler: String,
    /// True for a release build, false for one with debug assertions.
    pub optimised: bool,
    /// Model name of the processor, or its architecture where the system does not tell.
    pub cpu: String,
    /// Processors this process may use.
    pub cores: usize,
    /// Operating system and architecture, such as `linux x86_64`.
    pub system: String,
    /// Start of the run in UTC, such as `2026-12-01T09:30:00Z`.
    pub date: String,
}

impl Environment {
    /// Looks at the machine it runs on; `program` and `version` are the caller's own.
    pub fn now(program: &str, version: &str) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            program: program.to_owned(),
            version: version.to_owned(),
            compiler: env!("VELO_RUSTC_VERSION").to_owned(),
            optimised: !cfg!(debug_assertions),
            cpu: cpu_model().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            date: utc_date(since_epoch.as_secs()),
        }
    }

    /// Writes it as indented JSON.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let mut json = serde_json::to_string_pretty(self).expect("an environment is plain data");
        json.push('\n');
        atomic_file::write(path, json)
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] naming the path.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let json = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
        serde_json::from_str(&json)
            .map_err(|error| Error::Malformed { path: path.to_owned(), problem: error.to_string() })
    }
}

/// The first model name of Linux's processor table.
fn cpu_model() -> Option<String> {
    let table = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = table.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// `2026-12-01T09:30:00Z` for seconds since 1970, by the Gregorian calendar.
fn utc_date(seconds: u64) -> String {
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that a leap day is the last of its year. Eras of 400 years repeat exactly.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar_through_leap_days() {
        assert_eq!(utc_date(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc_date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc_date(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(utc_date(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(utc_date(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn an_environment_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("environment.json");
        let environment = Environment::now("benchmark_suite", "0.1.0");
        environment.write(&path).unwrap();
        assert_eq!(Environment::read(&path).unwrap(), environment);
        assert!(environment.cores >= 1 && environment.compiler.starts_with("rustc"));
    }
}
