//! Checks of the machine as a whole: halted, asleep, crashed, cut off, and what its processor can do.

use std::time::{Duration, Instant};

use protocol::agent::Request;
use vmm::VmState;
use vmm::vz::Rosetta;

use super::super::Outcome::{Fail, Pass, Skip};
use super::super::ask;
use super::super::guest::{Stage, clock_lag, engine, hello, hypervisor, sh};
use super::Run;
use crate::bench::agent::{Exchange, ping_docker};

pub(super) fn halted(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        const HALTED: Duration = Duration::from_secs(5);
        let machine = stage.machine().await?;
        let Some(pause) = machine.pause() else { return Ok(Fail("the driver cannot".to_owned())) };
        let before = clock_lag(&*machine).await?;
        pause.pause().await?;
        tokio::time::sleep(HALTED).await;
        let begun = Instant::now();
        pause.resume().await?;
        hello(&*machine).await?;
        let answered = begun.elapsed().as_millis();
        let lag = clock_lag(&*machine).await? - before;
        Ok(Pass(format!("it answers after {answered} ms; its clock lags {lag} s after 5 s of halt")))
    })
}

/// As the product does it: halt, sleep, go on, clock, everything else.
pub(super) fn sleeps(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        if !stage.asks {
            return Ok(Skip("nobody is there to close the lid".to_owned()));
        }
        let machine = stage.machine().await?;
        let Some(pause) = machine.pause() else { return Ok(Fail("the driver cannot".to_owned())) };
        let before = clock_lag(&*machine).await?;
        pause.pause().await?;
        ask("put this Mac to sleep for a minute, wake it")?;
        pause.resume().await?;
        hello(&*machine).await?;
        let halted = clock_lag(&*machine).await? - before;
        ask("and once more, now with the machine running: sleep for a minute, wake")?;
        let begun = Instant::now();
        hello(&*machine).await?;
        let answered = begun.elapsed().as_millis();
        let running = clock_lag(&*machine).await? - before - halted;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let unix_nanos = i64::try_from(now.as_nanos())?;
        Exchange::order(&*machine, &Request::SetClock { unix_nanos }).await?;
        let set = clock_lag(&*machine).await?;
        ping_docker(&*machine).await?;
        let measured = format!(
            "lag {halted} s halted, {running} s running ({answered} ms to an answer), {set} s once it was set"
        );
        Ok(if set.abs() <= 1 { Pass(measured) } else { Fail(measured) })
    })
}

pub(super) fn rosetta(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let host = hypervisor()?.host();
        if host.rosetta != Rosetta::Installed {
            return Ok(Skip("Rosetta is not installed; `cove machine install-rosetta` does it".to_owned()));
        }
        let manifest = vmm::image::Manifest::read(&stage.image)?;
        if let Err(why) = host.rosetta(Some(&manifest.kernel_release)) {
            return Ok(Skip(why.to_string()));
        }
        let machine = stage.machine().await?;
        // The agent proves it at each boot, and takes the registration away where a program does not run.
        let registered = sh(&*machine, "cat /proc/sys/fs/binfmt_misc/rosetta").await?;
        let cache = sh(&*machine, "ls -l /dev/cove/rosetta/ /var/cache/rosettad/uds/").await;
        let cache = cache.unwrap_or_else(|error| error.to_string());
        let enabled = registered.starts_with("enabled") && registered.contains("flags: OCF");
        let said = format!("Linux {}; cache: {cache:?}", manifest.kernel_release);
        Ok(if enabled { Pass(said) } else { Fail(format!("{registered:?}; {said}")) })
    })
}

pub(super) fn nested(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        if let Err(why) = hypervisor()?.host().nesting() {
            return Ok(Skip(why.to_string()));
        }
        let machine = stage.boot_with(|wishes| wishes.nested = true).await?;
        let device = sh(&*machine, "ls -l /dev/kvm; dmesg | grep -i 'kvm\\|hyp mode'").await;
        Ok(match device {
            Ok(said) if said.contains("/dev/kvm") => Pass(said),
            Ok(said) => Fail(said),
            Err(error) => Fail(format!("the guest sees no hypervisor: {error}")),
        })
    })
}

pub(super) fn balloon(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.boot().await?;
        let Some(balloon) = machine.balloon() else { return Ok(Fail("the driver has none".to_owned())) };
        sh(&*machine, "modprobe virtio_balloon").await?;
        let line = "sed -n 's/^MemTotal: *//p; s/^MemAvailable: *//p' /proc/meminfo";
        let before = sh(&*machine, line).await?;
        balloon.set_target(stage.config.memory_mib / 2).await?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let after = sh(&*machine, line).await?;
        Ok(if before == after {
            Fail(format!("nothing changed: {after:?}"))
        } else {
            Pass(format!("total and available before {before:?}, after {after:?}"))
        })
    })
}

pub(super) fn crash(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.boot().await?;
        let first = hello(&*machine).await?.boot_id;
        let mut states = machine.watch();
        // The stream breaks with the guest.
        let _ = sh(&*machine, "echo 1 > /proc/sys/kernel/sysrq; sleep 1; echo c > /proc/sysrq-trigger").await;
        let ending = states.wait_for(VmState::is_final);
        Ok(match tokio::time::timeout(Duration::from_secs(30), ending).await {
            Ok(last) => match last?.clone() {
                VmState::Failed(failure) if failure.kind == vmm::FailureKind::GuestCrashed => {
                    Pass("the framework ends the machine, the driver tells the crash".to_owned())
                }
                other => Fail(format!("the machine is {other}")),
            },
            Err(_) => match hello(&*machine).await {
                Ok(hello) if hello.boot_id != first => Fail(
                    "the framework started the guest again by itself; the driver does not know".to_owned(),
                ),
                Ok(_) => Fail("the guest did not crash".to_owned()),
                Err(error) => Fail(format!("the machine neither ends nor answers: {error}")),
            },
        })
    })
}

pub(super) fn stops(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        const PATIENCE: Duration = Duration::from_secs(15);
        let machine = stage.boot().await?;
        let mut states = machine.watch();
        machine.request_stop().await?;
        let button = tokio::time::timeout(PATIENCE, states.wait_for(VmState::is_final)).await.is_ok();
        if !button {
            // What the product asks beside the button.
            let _ = Exchange::order(&*machine, &Request::PowerOff).await;
        }
        let begun = Instant::now();
        let Ok(last) = tokio::time::timeout(PATIENCE, states.wait_for(VmState::is_final)).await else {
            return Ok(Fail("it runs on".to_owned()));
        };
        let last = last?.clone();
        let how = if button { "by the button alone" } else { "by the agent; the button is not heard" };
        let measured = format!("{how}, {} ms", begun.elapsed().as_millis());
        Ok(if last == VmState::Stopped { Pass(measured) } else { Fail(format!("{last}; {measured}")) })
    })
}

pub(super) fn power_cut(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.boot().await?;
        engine(&*machine).await?;
        sh(&*machine, "echo safe > /var/lib/docker/safe; sync").await?;
        let writing =
            sh(&*machine, "while :; do dd if=/dev/urandom of=/var/lib/docker/junk bs=1M count=64; done");
        let _ = tokio::time::timeout(Duration::from_secs(3), writing).await;
        machine.kill().await?;
        drop(machine);
        let machine = stage.boot().await?;
        engine(&*machine).await?;
        let safe = sh(&*machine, "cat /var/lib/docker/safe").await?;
        let errors = sh(&*machine, "dmesg | grep -ci 'ext4.*error' || true").await?;
        Ok(if safe == "safe" && errors == "0" {
            Pass("what was flushed is there, the journal repaired the rest".to_owned())
        } else {
            Fail(format!("{safe:?}, {errors} errors of the file system"))
        })
    })
}
