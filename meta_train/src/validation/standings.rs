//! `validation/standings.jsonl`: how the snapshots that have been judged stand, one line each, oldest first.
//!
//! The thread that judges writes it anew, whole, whenever it knows one more; `watch`, `compare`, the report and event
//! files read it. All of it follows from the trials beside it: a file that is lost or damaged is made again when the
//! run is resumed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use velo_comparison::atomic_file;

use super::standing::Standing;
use crate::Error;

/// The file inside the folder `validation` of a run.
fn file(validation: &Path) -> PathBuf {
    validation.join("standings.jsonl")
}

/// What has been judged of a run whose snapshots lie in the folder `validation`, oldest first; nothing where nothing was.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::DamagedFile`] naming the line that is not a standing.
pub fn read(validation: &Path) -> Result<Vec<Standing>, Error> {
    let path = file(validation);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(Error::io(&path))?,
    };
    let parsed = |(number, line)| {
        serde_json::from_str(line).map_err(|error| {
            let problem =
                format!("line {}: {error}; resuming the run makes the file again from its trials", number + 1);
            Error::damaged_file(&path, problem)
        })
    };
    text.lines().enumerate().map(parsed).collect()
}

/// Replaces the file in one step.
///
/// # Errors
/// When it cannot be written; the one before is still there then.
pub(super) fn write(validation: &Path, standings: &[Standing]) -> Result<(), Error> {
    let line = |standing| serde_json::to_string(standing).expect("a standing is plain data") + "\n";
    Ok(atomic_file::write(file(validation), standings.iter().map(line).collect::<String>())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validation::standing::tests::standing;

    #[test]
    fn what_is_written_is_read_again_and_one_line_is_one_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), [], "a run that judged nothing");
        let standings = [standing(0, 0.5, 0.75), standing(500, 1.0, 1.25)];
        write(folder.path(), &standings).unwrap();
        assert_eq!(read(folder.path()).unwrap(), standings);
        let text = fs::read_to_string(file(folder.path())).unwrap();
        let first = "{\"generation\":0,\"train\":{\"value\":0.75,\"low\":0.5,\"high\":1.0},\"validation\":{";
        assert!(text.starts_with(first) && text.lines().count() == 2, "{text}");
    }

    #[test]
    fn a_line_that_is_not_a_standing_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[standing(0, 0.5, 0.75)]).unwrap();
        let whole = fs::read_to_string(file(folder.path())).unwrap();
        fs::write(file(folder.path()), format!("{whole}{}", &whole[..20])).unwrap();
        let message = read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("standings.jsonl: line 2: ") && message.contains("resuming the run"), "{message}");
    }
}
