//! Signals by the names that ssh has for them.

use russh::Sig;
use rustix::process::Signal;

/// The signal of a name; `None` for one that this system does not have.
pub(super) fn of(name: &Sig) -> Option<Signal> {
    Some(match name {
        Sig::ABRT => Signal::ABORT,
        Sig::ALRM => Signal::ALARM,
        Sig::FPE => Signal::FPE,
        Sig::HUP => Signal::HUP,
        Sig::ILL => Signal::ILL,
        Sig::INT => Signal::INT,
        Sig::KILL => Signal::KILL,
        Sig::PIPE => Signal::PIPE,
        Sig::QUIT => Signal::QUIT,
        Sig::SEGV => Signal::SEGV,
        Sig::TERM => Signal::TERM,
        Sig::USR1 => Signal::USR1,
        Sig::Custom(name) => match name.as_str() {
            "USR2" => Signal::USR2,
            "CONT" => Signal::CONT,
            "STOP" => Signal::STOP,
            "TSTP" => Signal::TSTP,
            "WINCH" => Signal::WINCH,
            // What ended by one of these is told by these names.
            "BUS" => Signal::BUS,
            "TRAP" => Signal::TRAP,
            "XCPU" => Signal::XCPU,
            "XFSZ" => Signal::XFSZ,
            "SYS" => Signal::SYS,
            _ => return None,
        },
    })
}

/// The name of the signal of a number.
pub(super) fn name(number: i32) -> Sig {
    let known = [
        Sig::ABRT,
        Sig::ALRM,
        Sig::FPE,
        Sig::HUP,
        Sig::ILL,
        Sig::INT,
        Sig::KILL,
        Sig::PIPE,
        Sig::QUIT,
        Sig::SEGV,
        Sig::TERM,
        Sig::USR1,
    ];
    let others = ["USR2", "BUS", "TRAP", "XCPU", "XFSZ", "SYS"].map(|name| Sig::Custom(name.to_owned()));
    let fits = |name: &Sig| of(name).is_some_and(|signal| signal.as_raw() == number);
    let named = known.into_iter().chain(others).find(fits);
    named.unwrap_or_else(|| Sig::Custom(format!("{number}@cove")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_died_by_a_signal_is_told_by_its_name() {
        for (number, expected) in
            [(15, "TERM"), (9, "KILL"), (11, "SEGV"), (6, "ABRT"), (12, "USR2"), (7, "BUS")]
        {
            assert_eq!(of(&name(number)).map(Signal::as_raw), Some(number));
            let text = format!("{:?}", name(number));
            assert!(text.contains(expected), "{text}");
        }
        assert!(matches!(name(64), Sig::Custom(name) if name == "64@cove"));
    }
}
