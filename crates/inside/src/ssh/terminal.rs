//! Terminals for those who ask for one.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use russh::Pty;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, Winsize,
    tcgetattr, tcsetattr, tcsetwinsize,
};

/// A terminal as a client wants it.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// What the client's is called: `TERM`.
    pub(super) term: String,
    pub(super) size: Winsize,
    pub(super) modes: Vec<(Pty, u32)>,
}

/// Size in characters and pixels; what does not fit is nonsense, and taken as unknown.
pub(super) fn size(columns: u32, rows: u32, x_pixels: u32, y_pixels: u32) -> Winsize {
    let fit = |number: u32| u16::try_from(number).unwrap_or(0);
    Winsize { ws_row: fit(rows), ws_col: fit(columns), ws_xpixel: fit(x_pixels), ws_ypixel: fit(y_pixels) }
}

/// Opens one: our end, the process's, and its path.
pub(super) fn open(wish: &Wish) -> io::Result<(OwnedFd, File, String)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut settings = tcgetattr(&theirs)?;
    for (mode, value) in &wish.modes {
        set(&mut settings, *mode, *value);
    }
    tcsetattr(&theirs, OptionalActions::Now, &settings)?;
    tcsetwinsize(&ours, wish.size)?;
    Ok((ours, File::from(theirs), name.to_string_lossy().into_owned()))
}

fn set(settings: &mut Termios, mode: Pty, value: u32) {
    let on = value != 0;
    if let Some(index) = special_code(mode) {
        // 255 is "none" on the wire, as it is here.
        settings.special_codes[index] = if value == 255 { 0 } else { value.to_le_bytes()[0] };
        return;
    }
    match mode {
        Pty::IGNPAR => settings.input_modes.set(InputModes::IGNPAR, on),
        Pty::PARMRK => settings.input_modes.set(InputModes::PARMRK, on),
        Pty::INPCK => settings.input_modes.set(InputModes::INPCK, on),
        Pty::ISTRIP => settings.input_modes.set(InputModes::ISTRIP, on),
        Pty::INLCR => settings.input_modes.set(InputModes::INLCR, on),
        Pty::IGNCR => settings.input_modes.set(InputModes::IGNCR, on),
        Pty::ICRNL => settings.input_modes.set(InputModes::ICRNL, on),
        Pty::IXON => settings.input_modes.set(InputModes::IXON, on),
        Pty::IXANY => settings.input_modes.set(InputModes::IXANY, on),
        Pty::IXOFF => settings.input_modes.set(InputModes::IXOFF, on),
        Pty::IMAXBEL => settings.input_modes.set(InputModes::IMAXBEL, on),
        Pty::IUTF8 => settings.input_modes.set(InputModes::IUTF8, on),
        Pty::ISIG => settings.local_modes.set(LocalModes::ISIG, on),
        Pty::ICANON => settings.local_modes.set(LocalModes::ICANON, on),
        Pty::ECHO => settings.local_modes.set(LocalModes::ECHO, on),
        Pty::ECHOE => settings.local_modes.set(LocalModes::ECHOE, on),
        Pty::ECHOK => settings.local_modes.set(LocalModes::ECHOK, on),
        Pty::ECHONL => settings.local_modes.set(LocalModes::ECHONL, on),
        Pty::NOFLSH => settings.local_modes.set(LocalModes::NOFLSH, on),
        Pty::TOSTOP => settings.local_modes.set(LocalModes::TOSTOP, on),
        Pty::IEXTEN => settings.local_modes.set(LocalModes::IEXTEN, on),
        Pty::ECHOCTL => settings.local_modes.set(LocalModes::ECHOCTL, on),
        Pty::ECHOKE => settings.local_modes.set(LocalModes::ECHOKE, on),
        Pty::PENDIN => settings.local_modes.set(LocalModes::PENDIN, on),
        Pty::OPOST => settings.output_modes.set(OutputModes::OPOST, on),
        Pty::ONLCR => settings.output_modes.set(OutputModes::ONLCR, on),
        Pty::OCRNL => settings.output_modes.set(OutputModes::OCRNL, on),
        Pty::ONOCR => settings.output_modes.set(OutputModes::ONOCR, on),
        Pty::ONLRET => settings.output_modes.set(OutputModes::ONLRET, on),
        Pty::CS7 if on => {
            settings.control_modes = (settings.control_modes - ControlModes::CSIZE) | ControlModes::CS7;
        }
        Pty::CS8 if on => {
            settings.control_modes = (settings.control_modes - ControlModes::CSIZE) | ControlModes::CS8;
        }
        Pty::PARENB => settings.control_modes.set(ControlModes::PARENB, on),
        Pty::PARODD => settings.control_modes.set(ControlModes::PARODD, on),
        // Speeds of a line that there is not, and modes of systems that this is not.
        _ => {}
    }
}

fn special_code(mode: Pty) -> Option<SpecialCodeIndex> {
    Some(match mode {
        Pty::VINTR => SpecialCodeIndex::VINTR,
        Pty::VQUIT => SpecialCodeIndex::VQUIT,
        Pty::VERASE => SpecialCodeIndex::VERASE,
        Pty::VKILL => SpecialCodeIndex::VKILL,
        Pty::VEOF => SpecialCodeIndex::VEOF,
        Pty::VEOL => SpecialCodeIndex::VEOL,
        Pty::VEOL2 => SpecialCodeIndex::VEOL2,
        Pty::VSTART => SpecialCodeIndex::VSTART,
        Pty::VSTOP => SpecialCodeIndex::VSTOP,
        Pty::VSUSP => SpecialCodeIndex::VSUSP,
        Pty::VREPRINT => SpecialCodeIndex::VREPRINT,
        Pty::VWERASE => SpecialCodeIndex::VWERASE,
        Pty::VLNEXT => SpecialCodeIndex::VLNEXT,
        Pty::VDISCARD => SpecialCodeIndex::VDISCARD,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_as_it_was_wished_for() {
        let modes = vec![
            (Pty::VERASE, 8),
            (Pty::VEOL, 255),
            (Pty::ECHO, 0),
            (Pty::IUTF8, 1),
            (Pty::TTY_OP_ISPEED, 9600),
        ];
        let wish = Wish { term: "xterm".to_owned(), size: size(132, 43, 1 << 20, 0), modes };
        let (_ours, theirs, path) = open(&wish).unwrap();
        let settings = tcgetattr(&theirs).unwrap();
        assert_eq!(settings.special_codes[SpecialCodeIndex::VERASE], 8);
        assert_eq!(settings.special_codes[SpecialCodeIndex::VEOL], 0);
        assert!(!settings.local_modes.contains(LocalModes::ECHO));
        assert!(settings.input_modes.contains(InputModes::IUTF8));
        let size = rustix::termios::tcgetwinsize(&theirs).unwrap();
        assert_eq!((size.ws_col, size.ws_row, size.ws_xpixel), (132, 43, 0));
        assert!(path.starts_with("/dev/pts/"), "{path}");
    }
}
