//! The value of a secret, from where nobody else sees it: not the command line, which every process can read.

use std::io::{self, BufRead, IsTerminal, Read};

use api::MOST_SECRET_BYTES;
use devcontainer_cli::terminal::RawTerminal;

use crate::failure::Failure;
use crate::output::{self, Output};

const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: [u8; 2] = [8, 127];
const CLEAR: u8 = 21;

/// All of standard input, or what a person types without seeing it.
pub(in crate::command) fn read(output: Output, name: &str) -> Result<String, Failure> {
    let failed =
        |error: io::Error| Failure::request(format!("the value of `{name}` cannot be read: {error}"));
    let bytes = if io::stdin().is_terminal() {
        if !output.can_ask() {
            let problem = Failure::request(format!("nobody can be asked for the value of `{name}`"));
            return Err(problem.with_hint("give it on standard input").into());
        }
        let typed = {
            // Before the question: whoever answers at once would see what they type.
            let _raw = RawTerminal::enter().map_err(failed)?;
            output::write_error(format!("Value of {name} (it is not shown): ").as_bytes())?;
            line_of(io::stdin().lock())
        };
        output::write_error(b"\n")?;
        typed.map_err(failed)?.ok_or(Failure::Interrupted)?
    } else {
        let mut bytes = Vec::new();
        // One more than there may be: who gives too much is told, and not cut.
        let most = MOST_SECRET_BYTES as u64 + 2;
        io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(failed)?;
        bytes
    };
    String::from_utf8(bytes).map_err(|_| {
        Failure::request(format!("the value of `{name}` is not text (UTF-8)"))
            .with_hint("keep it as base64, and decode it where it is used")
            .into()
    })
}

/// A line, key by key; `None` if it was broken off.
fn line_of(keys: impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    for key in keys.bytes() {
        match key? {
            INTERRUPT => return Ok(None),
            b'\r' | b'\n' | END => return Ok(Some(line)),
            CLEAR => line.clear(),
            key if BACKSPACE.contains(&key) => {
                // A letter may have several bytes.
                while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
            }
            key => line.push(key),
        }
    }
    Ok(Some(line))
}

/// The text without the one end of line at its end.
pub(in crate::command) fn without_end_of_line(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_a_line() {
        for (keys, expected) in [
            ("abc\r", Some("abc")),
            ("aü\u{7f}\u{7f}b\n", Some("b")),
            ("wrong\u{15}right\u{4}more", Some("right")),
            ("\u{7f}\u{7f}a", Some("a")),
            ("ab\u{3}", None),
        ] {
            let line = line_of(keys.as_bytes()).unwrap();
            assert_eq!(line.as_deref(), expected.map(str::as_bytes), "{keys:?}");
        }
    }

    #[test]
    fn one_end_of_line_goes() {
        for (text, expected) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("", "")] {
            assert_eq!(without_end_of_line(text.to_owned()), expected);
        }
    }
}
