//! Programs for x86-64 on an ARM machine: Apple's Rosetta where the host shares it and it works, else QEMU.
//!
//! Whichever it is goes into the kernel's table of formats before the engine starts, since the engine looks once
//! which platforms it can run. Nothing is believed: a translator stays registered only if it ran a program. With
//! some kernels Rosetta aborts every program it is given, and nobody can tell by its version alone.

mod binfmt;
mod program;
pub(crate) mod rosetta;

use std::path::Path;

use protocol::agent::Emulation;

use crate::console::chain;
use crate::journal::Journal;
use crate::modules::Modules;

use binfmt::{Translator, TranslatorError};

/// The processor whose programs are translated, in the words of OCI.
const FOREIGN: &str = "amd64";

/// Debian's, in the image of ARM machines: linked statically, so that it runs in every container.
const QEMU: Translator = Translator { name: "qemu-x86_64", program: "/usr/bin/qemu-x86_64", flags: "POCF" };

/// Registers what runs programs for x86-64, and tells which it is. Machines of that processor need nothing.
pub(crate) async fn start(journal: &Journal) {
    if cfg!(target_arch = "x86_64") {
        return;
    }
    let settled = settle(journal).await;
    match (&settled.by, &settled.note) {
        (Some(by), note) => {
            let note = note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            journal.info(format!("programs for {FOREIGN} run by {by}{note}"));
        }
        (None, note) => {
            let note = note.as_deref().unwrap_or("no translator is there");
            journal.error(format!("programs for {FOREIGN} do not run: {note}"));
        }
    }
    journal.emulation(settled);
}

async fn settle(journal: &Journal) -> Emulation {
    let told = |by: Option<&str>, note: Option<String>| Emulation {
        architecture: FOREIGN.to_owned(),
        by: by.map(str::to_owned),
        note,
    };
    let loading = tokio::task::spawn_blocking(|| {
        Modules::of_running_kernel().map(|mut modules| modules.load_all(&["binfmt_misc", "virtiofs"]))
    });
    // A driver that is missing shows in the next step.
    let _ = loading.await;
    if let Err(error) = binfmt::mount() {
        return told(None, Some(chain(&error)));
    }
    let why_not = match rosetta::mount() {
        Ok(None) => "this computer shares no Rosetta".to_owned(),
        Ok(Some(translator)) => match binfmt::register_and_prove(&translator).await {
            Ok(()) => {
                if let Err(error) = rosetta::start_cache().await {
                    journal.warn(format!("Rosetta translates each program anew: {error}"));
                }
                return told(Some("rosetta"), None);
            }
            Err(error) => rosetta_failed(&error),
        },
        Err(error) => rosetta_failed(&error),
    };
    if !Path::new(QEMU.program).exists() {
        return told(None, Some(format!("{why_not}; the image has no QEMU for them")));
    }
    match binfmt::register_and_prove(&QEMU).await {
        Ok(()) => told(Some("qemu-user"), Some(why_not)),
        Err(error) => told(None, Some(format!("{why_not}; QEMU failed: {}", chain(&error)))),
    }
}

fn rosetta_failed(error: &TranslatorError) -> String {
    format!("Rosetta failed: {}", chain(error))
}
