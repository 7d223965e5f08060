use protocol::shim::Ability;

use super::*;
use crate::machine::testing::{Fixture, soon, until};

fn look(at: Instant, guest: Metrics) -> Look {
    Look { at, time: Timestamp::UNIX_EPOCH, guest, host_memory: 7, host_disk: 8 }
}

fn guest(uptime_ms: u64, busy_ms: u64, came: u64) -> Metrics {
    Metrics {
        uptime_ms,
        busy_ms,
        memory_total: 100,
        memory_available: 40,
        processors: Some(2),
        network: Some(Traffic { came, went: came / 2 }),
        disks: None,
        ..Metrics::default()
    }
}

#[test]
fn rates_are_of_the_time_between_two_looks() {
    let start = Instant::now();
    let first = look(start, guest(10_000, 1_000, 5_000));
    let sample = first.since(None);
    assert_eq!((sample.cpu, sample.network_in, sample.memory_used, sample.host_memory), (None, None, 60, 7));
    let second = look(start + EVERY, guest(12_000, 2_000, 9_000)).since(Some(&first));
    assert_eq!((second.cpu, second.network_in, second.network_out), (Some(25.0), Some(2_000), Some(1_000)));
    assert_eq!((second.disk_read, second.disk_written), (None, None), "not known is not zero");
}

#[test]
fn what_makes_no_rate_is_absent() {
    let start = Instant::now();
    let first = look(start, guest(10_000, 1_000, 5_000));
    for (now, cpu, network) in [
        // Started anew; nobody looked for long; a counter that fell; an older agent; nonsense.
        (look(start + EVERY, guest(100, 50, 0)), None, None),
        (look(start + FURTHEST * 2, guest(40_000, 2_000, 6_000)), None, None),
        (look(start + EVERY, guest(12_000, 500, 4_000)), None, None),
        (look(start + EVERY, Metrics { uptime_ms: 12_000, ..Metrics::default() }), None, None),
        (look(start, guest(12_000, 2_000, 6_000)), Some(25.0), None),
        (look(start + EVERY, guest(u64::MAX, u64::MAX, u64::MAX)), Some(50.0), Some((u64::MAX - 5_000) / 2)),
    ] {
        let sample = now.since(Some(&first));
        assert_eq!((sample.cpu, sample.network_in), (cpu, network));
    }
}

async fn next(stream: &mut BoxStream<'static, MetricsMessage>) -> MetricsMessage {
    soon("a message", stream.next()).await.expect("it never ends")
}

async fn sample_of(stream: &mut BoxStream<'static, MetricsMessage>) -> MetricsSample {
    loop {
        if let MetricsMessage::Sample(sample) = next(stream).await {
            return sample;
        }
    }
}

fn looks(fixture: &Fixture) -> usize {
    fixture.shim.guest().looks()
}

#[tokio::test]
async fn it_is_looked_at_once_for_all_readers_and_only_while_there_are_some() {
    let fixture = Fixture::new();
    let mut early = fixture.machine.metrics();
    let MetricsMessage::Off { phase, .. } = next(&mut early).await else { panic!("it is off") };
    assert_eq!(phase, MachinePhase::Stopped);
    fixture.run().await.unwrap();
    let first = sample_of(&mut early).await;
    assert_eq!((first.cpu, first.network_in, first.processors), (None, None, Some(2)));
    let mut late = fixture.machine.metrics();
    assert!(matches!(next(&mut late).await, MetricsMessage::Off { .. }), "who comes later sees what was");
    assert_eq!(sample_of(&mut late).await, first);
    let second = sample_of(&mut early).await;
    assert_eq!(sample_of(&mut late).await, second);
    assert!(second.cpu.is_some_and(|cpu| (0.0..=100.0).contains(&cpu)) && second.network_in.is_some());
    assert_eq!(second.host_memory, 2 << 30);
    // A third is taken where this computer is slow.
    assert!((2..=3).contains(&looks(&fixture)), "one look for both");
    drop((early, late));
    let asked = looks(&fixture);
    tokio::time::sleep(EVERY + EVERY / 4).await;
    assert_eq!(looks(&fixture), asked, "nobody looks any more");
    let mut again = fixture.machine.metrics();
    assert!(matches!(next(&mut again).await, MetricsMessage::Off { .. }));
    assert_eq!(sample_of(&mut again).await, first, "the last minutes are kept");
}

#[tokio::test]
async fn one_that_ends_is_told_and_goes_on_when_it_is_back() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let mut stream = fixture.machine.metrics();
    let before = sample_of(&mut stream).await;
    fixture.shim.crash("guest_crashed", "panic");
    until(&fixture.machine, "the end", |state| state.phase == MachinePhase::Stopped).await;
    while !matches!(next(&mut stream).await, MetricsMessage::Off { .. }) {}
    fixture.run().await.unwrap();
    let after = sample_of(&mut stream).await;
    assert!(after.time > before.time && after.cpu.is_none(), "another boot begins anew: {after:?}");
}

#[tokio::test]
async fn memory_comes_back_where_the_driver_can_and_else_that_is_said() {
    let fixture = Fixture::new();
    assert!(fixture.machine.reclaim().await.is_err(), "one that is off has nothing to give");
    fixture.run().await.unwrap();
    let told = fixture.machine.reclaim().await.unwrap();
    assert_eq!((told.guest_memory, told.host_memory.bytes), (96 << 20, 0));
    let note = told.host_memory.note.unwrap();
    assert!(note.contains("`fake` cannot take memory back"), "{note}");
    soon("the stop", fixture.machine.stop()).await.unwrap();
    fixture.shim.allow_squeeze();
    fixture.run().await.unwrap();
    assert!(lock(&fixture.machine.inner.abilities).contains(&Ability::Squeeze));
    let told = fixture.machine.reclaim().await.unwrap();
    assert!(told.host_memory.bytes > 0 && told.host_memory.note.is_none(), "{told:?}");
    let asked = fixture.shim.guest().asked().borrow().clone();
    assert_eq!(asked.iter().filter(|asked| *asked == "reclaim" || *asked == "squeeze").count(), 3);
}
