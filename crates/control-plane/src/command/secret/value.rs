//! The value of a secret, from where nobody else sees it: not the command line, which every process can read.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};

use api::{MOST_SECRET_BYTES, Name, Problem, ProblemCode};
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// The key that breaks off.
const INTERRUPT: u8 = 3;

/// All of standard input, or what a person types without seeing it. A variable seldom means the end of line that `echo`
/// writes; a file may.
pub(super) fn read(name: &Name, is_file: bool) -> Result<String, Problem> {
    let failed = |error: io::Error| {
        Problem::new(ProblemCode::InvalidRequest, format!("the value of {name} cannot be read"))
            .caused_by(&error)
    };
    let bytes = if io::stdin().is_terminal() {
        let typed = {
            // Before the question: whoever answers at once would see what they type.
            let _quiet = Quiet::enter().map_err(failed)?;
            write!(io::stderr(), "Value of {name} (it is not shown): ").map_err(failed)?;
            line_of(io::stdin().lock())
        };
        writeln!(io::stderr()).map_err(failed)?;
        let broken_off =
            || Problem::new(ProblemCode::InvalidRequest, "no value was given; nothing was changed");
        typed.map_err(failed)?.ok_or_else(broken_off)?
    } else {
        let mut bytes = Vec::new();
        // More than there may be: who gives too much is told, and not cut.
        io::stdin().lock().take(MOST_SECRET_BYTES as u64 + 3).read_to_end(&mut bytes).map_err(failed)?;
        bytes
    };
    fitting(name, bytes, is_file)
}

fn fitting(name: &Name, bytes: Vec<u8>, is_file: bool) -> Result<String, Problem> {
    let refused = |wrong: &str| {
        Problem::new(ProblemCode::InvalidRequest, format!("the value of {name} {wrong}; nothing was changed"))
    };
    let mut text = String::from_utf8(bytes).map_err(|_| {
        refused("is not text (UTF-8)").with_hint("keep it as base64, and decode it where it is used")
    })?;
    if !is_file && text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    match text.len() {
        0 => Err(refused("is empty")),
        length if length > MOST_SECRET_BYTES => {
            Err(refused(&format!("is longer than {MOST_SECRET_BYTES} bytes")))
        }
        _ => Ok(text),
    }
}

/// A line as the terminal gives it; `None` if it was broken off.
fn line_of(terminal: impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    for byte in terminal.bytes() {
        match byte? {
            INTERRUPT => return Ok(None),
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    Ok(Some(line))
}

/// The terminal shows nothing of what is typed while this lives. It still lets people mend their line, and gives us the key
/// that breaks off, which would end this process and leave the terminal so.
struct Quiet(Termios);

impl Quiet {
    fn enter() -> io::Result<Self> {
        let before = termios::tcgetattr(rustix::stdio::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that went away shows nothing either.
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_of_some_length() {
        let of = |text: &str, is_file| {
            fitting(&Name::parse("key").unwrap(), text.as_bytes().to_vec(), is_file).ok()
        };
        for (text, as_variable, as_file) in [
            ("a\n", Some("a"), Some("a\n")),
            ("a\r\n", Some("a"), Some("a\r\n")),
            ("a\n\n", Some("a\n"), Some("a\n\n")),
            ("\n", None, Some("\n")),
            ("", None, None),
        ] {
            assert_eq!(
                (of(text, false).as_deref(), of(text, true).as_deref()),
                (as_variable, as_file),
                "{text:?}"
            );
        }
        let most = "x".repeat(MOST_SECRET_BYTES);
        assert!(of(&most, true).is_some() && of(&(most + "x"), true).is_none());
        assert!(fitting(&Name::parse("key").unwrap(), vec![0xff], true).is_err());
    }

    #[test]
    fn a_line_ends_or_is_broken_off() {
        let line = |keys: &[u8]| line_of(keys).unwrap();
        assert_eq!(line(b"abc\ndef"), Some(b"abc".to_vec()));
        assert_eq!(line(b"abc"), Some(b"abc".to_vec()));
        assert_eq!(line(b"ab\x03c\n"), None);
    }
}
