use super::*;

#[tokio::test]
async fn a_watch_resumes_where_it_was_and_says_when_it_cannot() {
    let served = Served::start();
    let start = served.store.last_sequence();
    let (machine, other) = (ObjectReference::machine("default"), ObjectReference::machine("other"));
    for object in [&machine, &other, &machine] {
        served.store.emit(object.clone(), EventKind::Changed);
    }
    let mut watch = served.watch(&format!("?since={}&object=default", start + 1)).await;
    assert_eq!(watch.sequence().await, start + 3, "after the first, and none of the other object");
    assert_eq!(watch.next().await, Some(WatchMessage::Synced { sequence: start + 3 }));
    served.store.emit(machine.clone(), EventKind::Changed);
    assert_eq!(watch.sequence().await, start + 4);

    let mut new = served.watch("").await;
    assert_eq!(new.next().await, Some(WatchMessage::Synced { sequence: start + 4 }));
    for since in [start - 1, start + 5] {
        let mut lost = served.watch(&format!("?since={since}")).await;
        assert_eq!(lost.next().await, Some(WatchMessage::ListAgain { sequence: start + 4 }));
        assert_eq!(lost.next().await, Some(WatchMessage::Synced { sequence: start + 4 }));
    }
}

#[tokio::test]
async fn a_slow_watcher_misses_nothing() {
    let served = Served::start();
    let mut watch = served.watch("").await;
    let Some(WatchMessage::Synced { sequence }) = watch.next().await else { panic!("synced comes first") };
    let line = "x".repeat(2000);
    let kind = EventKind::Log { step: api::StepKind::PrepareImage, stream: LogStream::Output, line };
    // Far more than sockets and the broadcast hold together.
    let count = 6000;
    for _ in 0..count {
        served.store.emit(ObjectReference::machine("default"), kind.clone());
    }
    for number in 1..=count {
        assert_eq!(watch.sequence().await, sequence + number);
    }
}
