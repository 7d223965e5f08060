//! Checks of saved states, and of a program that may make no machines.

use std::process::Command;
use std::time::Instant;

use super::super::Outcome::{Fail, Pass, Skip};
use super::super::guest::{MOUNTED, Stage, clock_lag, engine, hello, hypervisor, sh};
use super::Run;
use crate::bench::agent::ping_docker;

pub(super) fn saved(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        if let Err(why) = hypervisor()?.host().saving() {
            return Ok(Skip(why.to_string()));
        }
        stage.config.wishes.saving = true;
        let machine = stage.boot().await?;
        engine(&*machine).await?;
        let Some(snapshot) = machine.snapshot() else {
            return Ok(Fail("macOS refuses to save this machine; the driver's log says why".to_owned()));
        };
        let boot = hello(&*machine).await?.boot_id;
        sh(&*machine, "echo kept > /run/memory").await?;
        let begun = Instant::now();
        snapshot.save().await?;
        let saved = begun.elapsed().as_millis();
        drop(machine);
        let file = stage.config.run_dir.join("saved.vzvmsave");
        let size = fs_err::metadata(&file)?.len() >> 20;
        let begun = Instant::now();
        let machine = stage.boot().await?;
        let restored = begun.elapsed().as_millis();
        let measured = format!("saved in {saved} ms, {size} MiB; back in {restored} ms");
        if hello(&*machine).await?.boot_id != boot {
            return Ok(Fail(format!("it started from the beginning; {measured}")));
        }
        stage.saved_boot = Some(boot);
        Ok(if file.exists() { Fail(format!("its file stays; {measured}")) } else { Pass(measured) })
    })
}

pub(super) fn restored(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let Some(boot) = stage.saved_boot.clone() else {
            return Ok(Skip("no machine was restored".to_owned()));
        };
        let machine = stage.machine().await?;
        if hello(&*machine).await?.boot_id != boot {
            return Ok(Fail("another machine answers".to_owned()));
        }
        let memory = sh(&*machine, "cat /run/memory").await?;
        let share = sh(&*machine, &format!("cat {MOUNTED}/hello && echo after > {MOUNTED}/after")).await?;
        ping_docker(&*machine).await?;
        let address = sh(&*machine, "ip -4 -o addr show eth0 && nslookup example.com").await;
        let lag = clock_lag(&*machine).await?;
        stage.config.wishes.saving = false;
        Ok(match address {
            Ok(_) if memory == "kept" => {
                Pass(format!("share {share:?}; its clock lags {lag} s until it is set"))
            }
            Ok(_) => Fail(format!("its memory is {memory:?}")),
            Err(error) => Fail(format!("no network: {error}")),
        })
    })
}

/// Signs a copy without the entitlement and lets it boot: check 2 must fail with what to do.
pub(super) fn not_entitled(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let copy = stage.folder.join("xtask-not-entitled");
        fs_err::copy(std::env::current_exe()?, &copy)?;
        let signed = Command::new("codesign").args(["--force", "--sign", "-"]).arg(&copy).output()?;
        if !signed.status.success() {
            return Ok(Skip(String::from_utf8_lossy(&signed.stderr).trim().to_owned()));
        }
        let mut attempt = Command::new(&copy);
        attempt.args(["mac-verify", "--signed", "--unattended", "--only", "2", "--image"]).arg(&stage.image);
        let output = attempt.output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said.lines().find(|line| line.starts_with("FAIL")).unwrap_or(&said).to_owned();
        Ok(if line.contains("not signed for virtual machines") { Pass(line) } else { Fail(line) })
    })
}
