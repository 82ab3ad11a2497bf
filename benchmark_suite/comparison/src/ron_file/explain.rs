//! Parser errors in the words of somebody who has to correct the file.

use std::path::Path;

use ron::error::{Error as RonError, SpannedError};

use crate::Error;
use crate::nearest::nearest;

/// The error at its line, with the path of the field and, where names are expected, the nearest.
pub(super) fn config_error(path: &Path, text: &str, field: &str, error: &SpannedError) -> Error {
    let (line, column) = position(text, error);
    // The path of an unknown field ends in the unknown name itself; the message says that name once.
    let field = match &error.code {
        RonError::NoSuchStructField { found, .. } => field.strip_suffix(found.as_str()).unwrap_or(field),
        _ => field,
    };
    let field = field.trim_end_matches('.');
    let place = if field.is_empty() { String::new() } else { format!("in `{field}`: ") };
    Error::Config { path: path.to_owned(), line, column, problem: format!("{place}{}", problem(&error.code)) }
}

/// Line and column, counted from one, of what the error is about.
///
/// The parser has read past a misspelt name when it refuses it, and stands before the blanks in front of any other
/// value: both are corrected to where the eye looks.
fn position(text: &str, error: &SpannedError) -> (usize, usize) {
    let (line, column) = (error.span.end.line, error.span.end.col);
    let line_text = |line: usize| text.lines().nth(line.saturating_sub(1)).unwrap_or("");
    match &error.code {
        RonError::NoSuchStructField { found, .. } | RonError::NoSuchEnumVariant { found, .. } => {
            let read: String = line_text(line).chars().take(column).collect();
            read.rfind(found.as_str()).map_or((line, column), |start| (line, read[..start].chars().count() + 1))
        }
        _ => {
            let (line, column) = (error.span.start.line, error.span.start.col);
            let blanks = line_text(line).chars().skip(column.saturating_sub(1)).take_while(|c| *c == ' ').count();
            (line, column + blanks)
        }
    }
}

fn problem(error: &RonError) -> String {
    match error {
        RonError::NoSuchStructField { expected, found, .. } => unknown("field", found, expected),
        RonError::NoSuchEnumVariant { expected, found, .. } => unknown("name", found, expected),
        RonError::MissingStructField { field, .. } => format!("field `{field}` is missing"),
        RonError::DuplicateStructField { field, .. } => format!("field `{field}` occurs twice"),
        RonError::InvalidValueForType { expected, found } => format!("expected {expected}, found {found}"),
        RonError::ExpectedInteger | RonError::InvalidIntegerDigit { .. } => "expected an integer".to_owned(),
        RonError::ExpectedFloat => "expected a number".to_owned(),
        RonError::ExpectedString => "expected a string in double quotes".to_owned(),
        RonError::ExpectedArray => "expected a list, `[..]`".to_owned(),
        RonError::Eof => "the file ends too early: a bracket is not closed".to_owned(),
        RonError::TrailingCharacters => "expected nothing more after the closing bracket".to_owned(),
        other => lower_first(&other.to_string()),
    }
}

fn unknown(kind: &str, found: &str, expected: &[&str]) -> String {
    let suggestion =
        nearest(found, expected.iter().copied()).map_or(String::new(), |name| format!(" did you mean `{name}`?"));
    let expected: Vec<String> = expected.iter().map(|name| format!("`{name}`")).collect();
    format!("unknown {kind} `{found}`,{suggestion} expected one of {}", expected.join(", "))
}

fn lower_first(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}
