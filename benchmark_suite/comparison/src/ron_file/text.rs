//! Where values begin and end in RON text.
//!
//! Overrides edit the text of a file rather than a tree, since a tree of RON values forgets the names of variants
//! (`AdamW(..)`), comments and line numbers. This cursor knows only as much grammar as that needs: blanks and
//! comments, strings and characters, brackets, identifiers. Whatever is malformed is left for the real parser.

use std::ops::Range;

/// A position in RON text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Byte offset in the text.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The text ahead.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance_past(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        self.at += if found { prefix.len() } else { 0 };
        found
    }

    /// Steps over `expected` if it is next.
    pub(super) fn take(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        self.at += if found { expected.len_utf8() } else { 0 };
        found
    }

    /// Skips white space, `// comments` and nested `/* comments */`.
    pub(super) fn skip_blank(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if self.advance_past("/*") {
                let mut depth = 1;
                while depth > 0 && self.at < self.text.len() {
                    if self.advance_past("/*") {
                        depth += 1;
                    } else if self.advance_past("*/") {
                        depth -= 1;
                    } else {
                        self.at += self.peek().map_or(0, char::len_utf8);
                    }
                }
            } else {
                return;
            }
        }
    }

    /// Skips `#![enable(..)]` attributes at the top of a document.
    pub(super) fn skip_attributes(&mut self) {
        self.skip_blank();
        while self.rest().starts_with("#![") {
            self.at += self.rest().find(']').map_or(self.rest().len(), |end| end + 1);
            self.skip_blank();
        }
    }

    /// Reads an identifier, if one is next.
    pub(super) fn identifier(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let len = rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(rest.len());
        let found = &rest[..len];
        if found.is_empty() || found.starts_with(|letter: char| letter.is_ascii_digit()) {
            return None;
        }
        self.at += len;
        Some(found)
    }

    /// Skips one value and gives its range without blanks around it: up to a comma, a colon or a closing bracket
    /// that does not belong to it. `None` when its brackets or quotes do not close, or when it is empty.
    pub(super) fn value(&mut self) -> Option<Range<usize>> {
        self.skip_blank();
        let start = self.at;
        let (mut open, mut end) = (Vec::new(), start);
        loop {
            self.skip_blank();
            let Some(next) = self.peek() else { break };
            match next {
                '(' => open.push(')'),
                '[' => open.push(']'),
                '{' => open.push('}'),
                ')' | ']' | '}' if open.is_empty() => break,
                ')' | ']' | '}' if open.pop() != Some(next) => return None,
                ',' | ':' if open.is_empty() => break,
                _ => {}
            }
            self.skip_token()?;
            end = self.at;
        }
        (open.is_empty() && end > start).then_some(start..end)
    }

    /// Skips a string, a character, an identifier or number, or one sign.
    fn skip_token(&mut self) -> Option<()> {
        let rest = self.rest();
        if let Some(hashes) = raw_string_hashes(rest) {
            let opening = 2 + hashes;
            let closing = format!("\"{}", "#".repeat(hashes));
            self.at += opening + rest[opening..].find(&closing)? + closing.len();
            return Some(());
        }
        match self.peek()? {
            '"' => self.skip_quoted('"'),
            '\'' => self.skip_quoted('\''),
            letter if letter.is_alphanumeric() || letter == '_' => {
                self.at += rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(rest.len());
                Some(())
            }
            sign => {
                self.at += sign.len_utf8();
                Some(())
            }
        }
    }

    fn skip_quoted(&mut self, quote: char) -> Option<()> {
        let mut letters = self.rest().char_indices().skip(1);
        while let Some((index, letter)) = letters.next() {
            if letter == '\\' {
                letters.next();
            } else if letter == quote {
                self.at += index + letter.len_utf8();
                return Some(());
            }
        }
        None
    }
}

/// The number of `#` signs of a raw string (`r"..."`, `r#"..."#`) that begins `text`.
fn raw_string_hashes(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<&str> {
        let mut cursor = Cursor::new(text);
        let mut found = Vec::new();
        while let Some(range) = cursor.value() {
            found.push(&text[range]);
            cursor.take(',');
        }
        found
    }

    #[test]
    fn values_end_at_commas_outside_brackets_strings_and_comments() {
        assert_eq!(
            values(r##" A(x: [1, 2]) /* , */ , "a,\"b" , 'c', r#"d","#, -1.5e-3 // , last "##),
            ["A(x: [1, 2])", r#""a,\"b""#, "'c'", r##"r#"d","#"##, "-1.5e-3"]
        );
    }

    #[test]
    fn a_bracket_that_does_not_close_is_not_a_value() {
        assert_eq!(Cursor::new("(1, [2)").value(), None);
        assert_eq!(Cursor::new("\"open").value(), None);
        assert_eq!(Cursor::new("  ").value(), None);
    }
}
