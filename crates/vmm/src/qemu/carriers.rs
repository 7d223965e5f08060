//! The processes that carry a machine: QEMU, and one virtiofsd a share. What their ends mean is not decided here.

use std::io;

use futures::FutureExt as _;

use crate::Error;
use crate::process::Running;

/// The processes of a machine.
pub(super) struct Carriers<'a> {
    pub(super) emulator: &'a mut Running,
    pub(super) shares: &'a mut [Running],
}

impl Carriers<'_> {
    /// Waits for the first end, and gives the error that it would be.
    pub(super) async fn first_end(&mut self) -> End {
        let emulator = async {
            match self.emulator.ended().await {
                Ok(status) if status.success() => End::Emulator { error: None },
                Ok(status) => End::Emulator { error: Some(self.emulator.died(status)) },
                Err(error) => End::Emulator { error: Some(lost(&self.emulator.name, error)) },
            }
        };
        let shares = self.shares.iter_mut().map(|share| {
            async {
                match share.ended().await {
                    Ok(status) => End::Share(share.died(status)),
                    Err(error) => End::Share(lost(&share.name, error)),
                }
            }
            .boxed()
        });
        if shares.len() == 0 {
            return emulator.await;
        }
        tokio::select! {
            biased;
            end = emulator => end,
            (end, _, _) = futures::future::select_all(shares) => end,
        }
    }

    /// Ends them all.
    pub(super) async fn kill(&mut self) {
        let all = self.shares.iter_mut().chain([&mut *self.emulator]);
        for running in all {
            if let Err(error) = running.child.kill().await {
                tracing::debug!(program = %running.name, %error, "not killed");
            }
        }
    }
}

fn lost(program: &str, error: io::Error) -> Error {
    Error::File { doing: "wait for the program", path: program.into(), source: error }
}

/// How the first of them ended.
pub(super) enum End {
    /// QEMU, and the error that it would be.
    Emulator { error: Option<Error> },
    /// A program that shares a folder.
    Share(Error),
}
