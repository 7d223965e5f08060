//! The checks, in the order in which they are run. Each says what it measured.

mod machine;
mod saving;

use std::pin::Pin;
use std::time::{Duration, Instant};

use protocol::agent::{Mount, Request};
use tokio::io::AsyncWriteExt as _;
use vmm::Share;

use super::Outcome::{Fail, Pass, Skip};
use super::guest::{MOUNTED, Stage, engine, hello, hypervisor, sh};
use super::{Outcome, guest};
use crate::bench::agent::{Exchange, ping_docker};

/// What a check does, for as long as it has the stage.
pub(super) type Run<'a> = Pin<Box<dyn Future<Output = Result<Outcome, guest::Failure>> + 'a>>;

/// One of the numbered checks of `docs/mac-verification.md`.
pub(super) struct Check {
    pub(super) number: u32,
    pub(super) title: &'static str,
    /// Whether others build on it, so that it is run whatever was chosen.
    pub(super) always: bool,
    pub(super) run: for<'a> fn(&'a mut Stage) -> Run<'a>,
}

const fn check(number: u32, title: &'static str, run: for<'a> fn(&'a mut Stage) -> Run<'a>) -> Check {
    Check { number, title, always: number <= 2, run }
}

/// All of them.
pub(super) const ALL: &[Check] = &[
    check(1, "This Mac can run machines", abilities),
    check(2, "The agent answers after a boot", boots),
    check(3, "The console reaches its file", console),
    check(4, "The Docker Engine answers", docker),
    check(5, "The guest has an address and reaches the world", network),
    check(6, "A server on this Mac is reached from the guest", host_server),
    check(7, "A container runs", container),
    check(8, "A shared folder shows what either side writes", share),
    check(9, "Shares change while the machine runs", changed_shares),
    check(10, "Hundreds of streams are open at once", streams),
    check(11, "A halted machine goes on", machine::halted),
    check(12, "The machine survives the sleep of this Mac", machine::sleeps),
    check(13, "Rosetta runs a program for x86-64", machine::rosetta),
    check(14, "Machines run inside the machine", machine::nested),
    check(15, "The balloon takes memory from the guest", machine::balloon),
    check(16, "A crash of the guest is told", machine::crash),
    check(17, "The guest ends when it is told to", machine::stops),
    check(18, "A power cut leaves a file system that works", machine::power_cut),
    check(19, "A saved machine goes on where it was", saving::saved),
    check(20, "A restored machine has its streams, shares and time", saving::restored),
    check(21, "A copy without the entitlement says what it lacks", saving::not_entitled),
];

fn abilities(_: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let host = hypervisor()?.host();
        let abilities = host.abilities(None).map(|(ability, missing)| match missing {
            Ok(()) => format!("{ability}: yes"),
            Err(why) => format!("{ability}: no, {why}"),
        });
        let (macos, build) = (host.macos, &host.build);
        let memory = host.memory.end() >> 30;
        let said = format!(
            "macOS {macos} ({build}), up to {} processors and {memory} GiB; {}",
            host.cpus.end(),
            abilities.join("; ")
        );
        Ok(if host.supported { Pass(said) } else { Fail(said) })
    })
}

fn boots(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.boot().await?;
        let after = machine.facts().agent_after.map_or(0, |after| after.as_millis());
        let hello = hello(&*machine).await?;
        Ok(Pass(format!("{after} ms after power-on, Linux {} on {}", hello.kernel, hello.machine)))
    })
}

fn console(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.machine().await?;
        sh(&*machine, "echo words for the console > /dev/console").await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let text = fs_err::read_to_string(&stage.config.console_log)?;
        let length = text.len();
        Ok(if text.contains("words for the console") {
            Pass(format!("{length} bytes"))
        } else {
            Fail(format!("{length} bytes without what the guest wrote"))
        })
    })
}

fn docker(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let begun = Instant::now();
        let machine = stage.machine().await?;
        engine(&*machine).await?;
        ping_docker(&*machine).await?;
        Ok(Pass(format!("{} ms after it was configured", begun.elapsed().as_millis())))
    })
}

fn network(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.machine().await?;
        let addresses = sh(&*machine, "ip -4 -o addr show eth0; ip route show default").await?;
        let looked_up = sh(&*machine, "nslookup example.com && nc -w 10 example.com 80 < /dev/null").await;
        Ok(match looked_up {
            Ok(_) => Pass(addresses),
            Err(error) => Fail(format!("{addresses}; {error}")),
        })
    })
}

fn host_server(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.machine().await?;
        let listener = tokio::net::TcpListener::bind(("0.0.0.0", 0)).await?;
        let port = listener.local_addr()?.port();
        let serving = async {
            let (mut stream, peer) = listener.accept().await?;
            stream.write_all(b"from this Mac\n").await?;
            Ok::<_, std::io::Error>(peer)
        };
        let line = format!("nc -w 10 host.docker.internal {port} < /dev/null");
        let asking = sh(&*machine, &line);
        let both = async { tokio::join!(serving, asking) };
        let Ok((served, asked)) = tokio::time::timeout(Duration::from_secs(30), both).await else {
            return Ok(Fail("no connection came within 30 s; is macOS's firewall on?".to_owned()));
        };
        let (peer, answer) = (served?, asked?);
        Ok(if answer == "from this Mac" { Pass(format!("from {peer}")) } else { Fail(answer) })
    })
}

/// Loads the base image, which comes with the guest image, and runs a program in it.
fn container(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let archive = stage.image.join("base-image.tar.zst");
        if !archive.is_file() {
            return Ok(Skip(format!("`{archive}` is not there")));
        }
        let machine = stage.machine().await?;
        let plain = fs_err::File::create(stage.folder.join("share0/base.tar"))?;
        zstd::stream::copy_decode(fs_err::File::open(&archive)?, plain)?;
        sh(&*machine, &format!("docker load -i {MOUNTED}/base.tar")).await?;
        let begun = Instant::now();
        let said = sh(&*machine, "docker run --rm cove/base:trixie uname -m").await?;
        Ok(Pass(format!("`{said}` after {} ms", begun.elapsed().as_millis())))
    })
}

fn share(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.machine().await?;
        let seen = sh(&*machine, &format!("cat {MOUNTED}/hello")).await?;
        let host = stage.folder.join("share0");
        sh(&*machine, &format!("echo answer > {MOUNTED}/answer")).await?;
        let answer = fs_err::read_to_string(host.join("answer"))?;
        // A file that is replaced on the host: editors do that, and its old size was seen for long elsewhere.
        fs_err::write(host.join("next"), "a longer content than before")?;
        fs_err::rename(host.join("next"), host.join("hello"))?;
        let mut replaced = String::new();
        let begun = Instant::now();
        while replaced != "a longer content than before" && begun.elapsed() < Duration::from_secs(10) {
            replaced = sh(&*machine, &format!("cat {MOUNTED}/hello")).await?;
        }
        let owners = sh(&*machine, &format!("stat -c '%u:%g %a' {MOUNTED}/answer {MOUNTED}/hello")).await?;
        let measured = format!(
            "a replaced file after {} ms; owners in the guest: {owners:?}",
            begun.elapsed().as_millis()
        );
        let right = seen == "share0" && answer == "answer\n" && replaced == "a longer content than before";
        Ok(if right { Pass(measured) } else { Fail(format!("{seen:?} {answer:?} {replaced:?}; {measured}")) })
    })
}

fn changed_shares(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        let machine = stage.machine().await?;
        let Some(changing) = machine.change_shares() else {
            return Ok(Fail("the driver cannot".to_owned()));
        };
        let first = stage.config.shares.clone();
        let folder = stage.folder.join("share1");
        let second = Share { tag: "share1".into(), host_path: folder, read_only: true };
        changing.set(&[first.clone(), vec![second]].concat()).await?;
        let mount = Mount { tag: "share1".into(), path: "/mnt/share1".into(), read_only: true };
        Exchange::order(&*machine, &Request::Mount(mount)).await?;
        let seen = sh(&*machine, "cat /mnt/share1/hello").await?;
        let written = sh(&*machine, "touch /mnt/share1/new").await;
        Exchange::order(&*machine, &Request::Unmount { path: "/mnt/share1".into() }).await?;
        changing.set(&first).await?;
        let left = sh(&*machine, "ls /run/cove/shares").await?;
        Ok(match (seen.as_str(), written) {
            ("share1", Err(_)) => Pass(format!("left afterwards: {left:?}")),
            (_, Ok(_)) => Fail("a read-only share was written to".to_owned()),
            (_, Err(error)) => Fail(format!("{seen:?}; {error}")),
        })
    })
}

fn streams(stage: &mut Stage) -> Run<'_> {
    Box::pin(async {
        const MANY: usize = 300;
        let machine = stage.machine().await?;
        let mut open = Vec::new();
        for _ in 0..MANY {
            open.push(Exchange::order(&*machine, &Request::Watch).await?);
        }
        let begun = Instant::now();
        let bytes = sh(&*machine, "head -c 67108864 /dev/zero | tr '\\0' x").await?.len();
        let seconds = begun.elapsed().as_secs_f64();
        drop(open);
        hello(&*machine).await?;
        let rate = bytes as f64 / seconds / f64::from(1 << 20);
        let measured = format!("{MANY} streams; {bytes} bytes through one more at {rate:.0} MiB/s");
        Ok(if bytes == 64 << 20 { Pass(measured) } else { Fail(measured) })
    })
}
