//! Overrides from the command line: `--set contenders.0.optimizer.learning_rate=3e-4`.
//!
//! A path is a list of field names and list positions, joined by dots. The value at that place is replaced in the
//! text; a field that the file leaves out is added. No line break is ever inserted, so that positions in later
//! error messages keep their lines.

use std::path::Path;

use super::text::Cursor;
use crate::Error;

/// What an override has to change in the text.
struct Edit {
    start: usize,
    end: usize,
    replacement: String,
}

/// The text of `path` with every override applied in order.
pub(super) fn apply(text: &str, overrides: &[String], path: &Path) -> Result<String, Error> {
    let mut edited = text.to_owned();
    for argument in overrides {
        let refuse = |problem: String| Error::Override { argument: argument.clone(), problem };
        let (field, value) = split(argument)
            .ok_or_else(|| refuse("expected field=value, such as outer.learning_rate=3e-4".to_owned()))?;
        let mut cursor = Cursor::new(value);
        let single = cursor.value().is_some();
        cursor.skip_blank();
        if !single || !cursor.rest().is_empty() || value.contains('\n') {
            return Err(refuse(format!("`{value}` is not a single value on one line")));
        }
        let edit =
            locate(&edited, field, value).map_err(|problem| refuse(format!("{problem} (in {})", path.display())))?;
        edited.replace_range(edit.start..edit.end, &edit.replacement);
    }
    Ok(edited)
}

/// Turns an error found inside an overridden value into one that names the override.
pub(super) fn blame(overrides: &[String], field: &str, error: Error) -> Error {
    let Error::Config { problem, .. } = &error else { return error };
    // The parser's path also names variants, which an override does not spell.
    let field = field.replace('[', ".").replace(']', "");
    let names = field.split('.').filter(|name| !name.starts_with(|letter: char| letter.is_uppercase()));
    let field = names.collect::<Vec<_>>().join(".");
    let guilty = overrides.iter().rev().find(|argument| {
        split(argument).is_some_and(|(set, _)| {
            field.strip_prefix(set).is_some_and(|inside| inside.is_empty() || inside.starts_with('.'))
        })
    });
    match guilty {
        Some(argument) => Error::Override { argument: argument.clone(), problem: problem.clone() },
        None => error,
    }
}

fn split(argument: &str) -> Option<(&str, &str)> {
    let (field, value) = argument.split_once('=')?;
    let (field, value) = (field.trim(), value.trim());
    (!value.is_empty() && field.split('.').all(|name| !name.is_empty())).then_some((field, value))
}

/// Finds the text that stands for `field`, or the place where it has to be added.
fn locate(text: &str, field: &str, value: &str) -> Result<Edit, String> {
    let mut cursor = Cursor::new(text);
    cursor.skip_attributes();
    let names: Vec<&str> = field.split('.').collect();
    for (depth, &name) in names.iter().enumerate() {
        let parent = names[..depth].join(".");
        let shown = if parent.is_empty() { "the file".to_owned() } else { format!("`{parent}`") };
        cursor.identifier();
        cursor.skip_blank();
        let inside = cursor;
        if cursor.take('[') {
            let index: usize =
                name.parse().map_err(|_| format!("{shown} is a list, expected a position instead of `{name}`"))?;
            enter_element(&mut cursor, index, &shown)?;
        } else if cursor.take('(') {
            let opening = cursor.offset();
            if !enter_field(&mut cursor, name) {
                let nested =
                    names[depth + 1..].iter().rev().fold(value.to_owned(), |inner, name| format!("({name}: {inner})"));
                return Ok(Edit { start: opening, end: opening, replacement: format!("{name}: {nested}, ") });
            }
        } else {
            debug_assert_eq!(inside.offset(), cursor.offset());
            return Err(format!("{shown} has no fields, so no `{name}`"));
        }
    }
    let range = cursor.value().ok_or_else(|| format!("`{field}` has no complete value"))?;
    Ok(Edit { start: range.start, end: range.end, replacement: value.to_owned() })
}

/// Moves to element `index` of the list that was just entered.
fn enter_element(cursor: &mut Cursor, index: usize, shown: &str) -> Result<(), String> {
    let mut count = 0;
    loop {
        cursor.skip_blank();
        if count == index && !cursor.rest().starts_with(']') {
            return Ok(());
        }
        if cursor.value().is_none() {
            return Err(format!("{shown} has {count} elements, there is no element {index}"));
        }
        count += 1;
        cursor.skip_blank();
        cursor.take(',');
    }
}

/// Moves to the value of field `name` of the struct that was just entered; false when it has no such field.
fn enter_field(cursor: &mut Cursor, name: &str) -> bool {
    loop {
        cursor.skip_blank();
        let Some(found) = cursor.identifier() else { return false };
        cursor.skip_blank();
        if !cursor.take(':') {
            return false;
        }
        cursor.skip_blank();
        if found == name {
            return true;
        }
        if cursor.value().is_none() {
            return false;
        }
        cursor.skip_blank();
        cursor.take(',');
    }
}
