//! The caller's terminal while a program in a container owns it.
//!
//! Raw mode is left again on every way out: the guard's end, and a panic, whose message must be readable.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use engine::TerminalSize;
use rustix::stdio;
use rustix::termios::{self, OptionalActions, Termios};

/// How the terminal was before, while it is raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static PANIC_HOOK: Once = Once::new();

/// Holds the terminal of standard input in raw mode.
#[derive(Debug)]
pub(crate) struct RawTerminal(());

impl RawTerminal {
    /// Hands every key to the reader of standard input, ctrl-c included, and every byte to the screen as it is.
    pub(crate) fn enter() -> io::Result<Self> {
        PANIC_HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                report(panic);
            }));
        });
        let before = termios::tcgetattr(stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        termios::tcsetattr(stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(()))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was.
fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Fails only when the terminal is gone.
        let _ = termios::tcsetattr(stdio::stdin(), OptionalActions::Now, &before);
    }
}

/// Size of the terminal on standard output; that of an old screen if there is none or it does not say.
pub(crate) fn size() -> TerminalSize {
    match termios::tcgetwinsize(stdio::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            TerminalSize { rows: size.ws_row, columns: size.ws_col }
        }
        _ => TerminalSize { rows: 24, columns: 80 },
    }
}
