//! The machine's numbers, what happened before, and bundles for diagnosis.

use api::{
    DiagnosticsFile, DiagnosticsPreview, MachineLogLine, MetricsMessage, ObjectKind, Reclaimed,
    ReclaimedPart, StepKind,
};
use jiff::Timestamp;

use super::super::MachineWork;
use super::*;
use crate::diagnostics::Bundles;

impl MachineWork for Stub {
    fn carry_out(&self, wish: MachineWish) {
        self.wishes.lock().unwrap().push(wish);
    }

    fn refresh(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn activity(&self) -> Option<api::Activity> {
        None
    }

    fn logs(&self, _: LogRange) -> BoxFuture<'_, Result<BoxStream<'static, MachineLogLine>, Problem>> {
        async { Ok(futures::stream::empty().boxed()) }.boxed()
    }

    fn metrics(&self) -> BoxStream<'static, MetricsMessage> {
        let off = MetricsMessage::Off { time: Timestamp::UNIX_EPOCH, phase: api::MachinePhase::Stopped };
        futures::stream::iter([off]).chain(futures::stream::pending()).boxed()
    }

    fn reclaim(&self) -> BoxFuture<'_, Result<Reclaimed, Problem>> {
        let host_memory = ReclaimedPart { bytes: 0, note: Some("this driver cannot".to_owned()) };
        async { Ok(Reclaimed { guest_memory: 7, host_memory, ..Reclaimed::default() }) }.boxed()
    }

    fn container_logs<'a>(
        &'a self,
        container: &'a str,
        _: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>> {
        let line = ContainerLogLine { stream: LogStream::Output, line: container.to_owned(), cut: false };
        async { Ok(futures::stream::iter([line]).boxed()) }.boxed()
    }

    fn container_exec<'a>(
        &'a self,
        _: &'a str,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<Process, Problem>> {
        async move { Ok(echo(&request, None)) }.boxed()
    }

    fn exec(&self, _: ExecRequest) -> BoxFuture<'_, Result<Process, Problem>> {
        async { Err(Problem::new(ProblemCode::NotRunning, "the machine is off")) }.boxed()
    }
}

impl Bundles for Stub {
    fn preview(&self) -> BoxFuture<'_, Result<Arc<DiagnosticsPreview>, Problem>> {
        let file = DiagnosticsFile {
            name: "MANIFEST.txt".to_owned(),
            about: "what is in it".to_owned(),
            text: "nothing".to_owned(),
            removed: 0,
        };
        let preview =
            DiagnosticsPreview { id: "a1".to_owned(), files: vec![file], removed: vec![], left_out: vec![] };
        async { Ok(Arc::new(preview)) }.boxed()
    }

    fn bundle<'a>(&'a self, shown: Option<&'a str>) -> BoxFuture<'a, Result<Vec<u8>, Problem>> {
        let is_kept = shown.is_none_or(|id| id == "a1");
        async move {
            if is_kept { Ok(b"archive".to_vec()) } else { Err(Problem::new(ProblemCode::Conflict, "gone")) }
        }
        .boxed()
    }
}

#[tokio::test]
async fn the_numbers_of_a_machine_are_a_stream_that_says_when_it_is_off() {
    let served = Served::start();
    let response = served.send(request("GET", "/v1/machines/default/metrics", "")).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let first = response.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    let told: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(told, json!({"type": "off", "time": "1970-01-01T00:00:00Z", "phase": "stopped"}));
    let (status, problem) = served.refused("GET", "/v1/machines/other/metrics", "").await;
    assert_eq!((status, problem.code), (StatusCode::NOT_FOUND, ProblemCode::InvalidRequest));
}

#[tokio::test]
async fn what_a_machine_gave_back_is_told_with_what_it_could_not() {
    let served = Served::start();
    let (status, told) = served.call("POST", "/v1/machines/default/reclaim", "").await;
    assert_eq!((status, &told["guest_memory"]), (StatusCode::OK, &json!(7)));
    assert_eq!(told["host_memory"], json!({"bytes": 0, "note": "this driver cannot"}));
}

#[tokio::test]
async fn what_happened_is_told_part_by_part_the_newest_first() {
    let served = Served::start();
    let web = EnvironmentId("e1".to_owned());
    let step = StepKind::StartMachine;
    let mut sequences = Vec::new();
    for number in 0..5 {
        let object = if number % 2 == 0 {
            ObjectReference::machine("default")
        } else {
            ObjectReference::environment(&web)
        };
        served.store.emit(object.clone(), EventKind::Changed);
        let told = EventKind::StepStarted { step, detail: number.to_string() };
        sequences.push(served.store.emit(object, told).sequence);
    }
    served.store.emit(
        ObjectReference::machine("default"),
        EventKind::Log { step, stream: LogStream::Output, line: "a line".to_owned() },
    );
    sequences.reverse();
    let page = async |query: &str| -> api::EventPage {
        let (status, body) = served.call("GET", &format!("/v1/events{query}"), "").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_value(body).unwrap()
    };
    let told = |page: &api::EventPage| page.events.iter().map(|event| event.sequence).collect::<Vec<_>>();
    let first = page("?limit=3").await;
    assert_eq!((told(&first), first.before), (sequences[..3].to_vec(), Some(sequences[2])));
    let rest = page(&format!("?limit=3&before={}", sequences[2])).await;
    assert_eq!((told(&rest), rest.before), (sequences[3..].to_vec(), None));
    let of_web = page("?object=e1&limit=2").await;
    assert_eq!((told(&of_web), of_web.before), (vec![sequences[1], sequences[3]], None));
    assert!(of_web.events.iter().all(|event| event.object.kind == ObjectKind::Environment));
    assert!(
        page(&format!("?before={}", u64::MAX)).await.events.len() == 5
            && page("?before=0").await.events.is_empty()
    );
    let (status, _) = served.refused("GET", "/v1/events?limit=many", "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_bundle_is_read_first_and_then_had_as_it_was_read() {
    let served = Served::start();
    let (status, preview) = served.call("GET", "/v1/diagnostics/preview", "").await;
    assert_eq!((status, &preview["files"][0]["name"]), (StatusCode::OK, &json!("MANIFEST.txt")));
    for path in ["/v1/diagnostics/bundle", "/v1/diagnostics/bundle?shown=a1"] {
        let response = served.send(request("GET", path, "")).await;
        assert_eq!(response.headers()["content-type"], "application/gzip");
        assert!(response.headers()["content-disposition"].to_str().unwrap().contains(".tar.gz"));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "archive");
    }
    let (status, problem) = served.refused("GET", "/v1/diagnostics/bundle?shown=b2", "").await;
    assert_eq!((status, problem.code), (StatusCode::CONFLICT, ProblemCode::Conflict));
}
