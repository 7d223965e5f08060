//! The caller's terminal and standard input while a program inside owns them.
//!
//! Raw mode is left again on every way out: the guard's end, and a panic, whose message must be readable. Signals that
//! shall end the process are for its caller to turn into an end.

use std::io::{self, IsTerminal, Read};
use std::sync::{Mutex, Once, PoisonError};

use engine::TerminalSize;
use rustix::stdio;
use rustix::termios::{self, OptionalActions, Termios};
use tokio::sync::mpsc;

/// Bytes read from standard input at once.
const PIECE_BYTES: usize = 16 * 1024;

/// How the terminal was before, while it is raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static PANIC_HOOK: Once = Once::new();

/// Holds the terminal of standard input in raw mode.
#[derive(Debug)]
pub struct RawTerminal(());

impl RawTerminal {
    /// Hands every key to the reader of standard input, ctrl-c included, and every byte to the screen as it is.
    ///
    /// # Errors
    /// Standard input is no terminal, or is gone.
    pub fn enter() -> io::Result<Self> {
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

/// Whether a person sits at both ends.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Size of the terminal on standard output; that of an old screen if there is none or it does not say.
pub fn size() -> TerminalSize {
    match termios::tcgetwinsize(stdio::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            TerminalSize { rows: size.ws_row, columns: size.ws_col }
        }
        _ => TerminalSize { rows: 24, columns: 80 },
    }
}

/// Reads standard input on a thread of its own, which ends with the process: such a read cannot be called off.
pub fn read_input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    receiver
}
