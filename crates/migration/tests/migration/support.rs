//! Two engines, and what can be seen of them from outside of the code under test.

use std::process::Command;
use std::sync::Arc;

use engine::{Engine, HostTools, Progress};
use migration::{Action, Kind, Migration, Observed, Plan, Report, Wishes, find, plan};
use serde_json::Value;
use test_support::dockerd::{BASE_IMAGE, Dockerd};

/// Two engines, and a migration from one to the other.
pub(crate) struct Pair {
    pub(crate) source: Dockerd,
    pub(crate) target: Dockerd,
    pub(crate) migration: Migration,
}

impl Pair {
    /// Starts both. Here there is the base image in each.
    pub(crate) async fn start() -> Option<Self> {
        Self::of(Dockerd::start()?, Dockerd::start()?).await
    }

    /// Where the source stores images as containerd does: with other ids, and what it cannot do otherwise.
    pub(crate) async fn start_unlike() -> Option<Self> {
        let settings = serde_json::json!({ "features": { "containerd-snapshotter": true } });
        Self::of(Dockerd::start_with(&settings)?, Dockerd::start()?).await
    }

    async fn of(source: Dockerd, target: Dockerd) -> Option<Self> {
        let (engine, _) = find(&[source.socket()]).await.unwrap();
        let ours = Engine::new(&target.socket(), Arc::new(HostTools::new(target.env().clone())));
        Some(Self { source, target, migration: Migration::new(engine, ours) })
    }

    pub(crate) async fn plan(&self, wishes: &Wishes) -> (Observed, Plan) {
        let observed = self.migration.observe(wishes, &()).await.unwrap();
        let plan = plan(&observed, wishes);
        (observed, plan)
    }

    pub(crate) async fn run(&self, wishes: &Wishes, progress: &dyn Progress) -> Report {
        let (observed, plan) = self.plan(wishes).await;
        self.migration.run(&observed, &plan, progress).await.unwrap()
    }

    /// Runs shell commands in a container of the source, with a volume at `/v`.
    pub(crate) fn fill(&self, volume: &str, script: &str) {
        let mount = format!("{volume}:/v");
        self.source.docker(&["run", "--rm", "-v", &mount, "-w", "/v", BASE_IMAGE, "sh", "-ec", script]);
    }

    /// Whether nothing is left on either side of what a migration makes for itself.
    pub(crate) fn is_clean(&self) -> bool {
        [&self.source, &self.target].iter().all(|engine| {
            let containers = engine.docker(&["ps", "-aq", "--filter", "label=dev.cove.migration"]);
            let images = engine.docker(&["images", "-aq", "--filter", "label=dev.cove.migration"]);
            containers.is_empty() && images.is_empty()
        })
    }
}

/// Everything that an engine says of everything it has, and every file of its volumes.
pub(crate) fn state(engine: &Dockerd) -> String {
    let mut state = String::new();
    for (kind, list) in [
        ("image", &["image", "ls", "-aq", "--no-trunc"][..]),
        ("container", &["ps", "-aq", "--no-trunc"]),
        ("volume", &["volume", "ls", "-q"]),
        ("network", &["network", "ls", "-q", "--no-trunc"]),
    ] {
        let ids = engine.docker(list);
        let mut ids: Vec<_> = ids.lines().collect();
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            let said = engine.docker(&[&[kind, "inspect"], ids.as_slice()].concat());
            let mut said: Value = serde_json::from_str(&said).unwrap();
            for mounts in
                said.as_array_mut().unwrap().iter_mut().filter_map(|it| it.get_mut("Mounts")?.as_array_mut())
            {
                // The engine lists them in any order.
                mounts.sort_by_key(Value::to_string);
            }
            state.push_str(&serde_json::to_string_pretty(&said).unwrap());
        }
    }
    state.push_str(&files(engine, "."));
    state
}

/// Panics with what differs, and only that.
pub(crate) fn assert_unchanged(engine: &Dockerd, before: &str) {
    let after = state(engine);
    let differing = before.lines().zip(after.lines()).filter(|(one, other)| one != other);
    let differing: Vec<_> = differing.take(10).collect();
    assert!(differing.is_empty() && before == after, "the source has changed: {differing:#?}");
}

/// Every file of a volume, with all that can be seen of it.
pub(crate) fn volume_files(engine: &Dockerd, volume: &str) -> String {
    files(engine, &format!("{volume}/_data"))
}

fn files(engine: &Dockerd, below: &str) -> String {
    let folder = engine.socket().parent().unwrap().join("root/volumes").join(below);
    let script = r"
        find . ! -name metadata.db ! -name backingFsBlockDev -printf '%P|%y|%m|%U|%G|%Ts|%l|%n\n' | sort
        find . -type f ! -name metadata.db -exec sha256sum {} + | sort
    ";
    let output = Command::new("sh").args(["-ec", script]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a plan does with one thing.
pub(crate) fn action<'a>(plan: &'a Plan, kind: Kind, name: &str) -> &'a Action {
    let item = plan.items.iter().find(|item| item.kind == kind && item.name == name);
    &item.unwrap_or_else(|| panic!("no {kind:?} `{name}` in {plan:#?}")).action
}

/// What is not here of a report: name and why.
pub(crate) fn not_here(report: &Report) -> Vec<String> {
    let items = report.items.iter().filter(|done| !done.is_here());
    items.map(|done| format!("{:?} {}: {:?}", done.kind, done.name, done.outcome)).collect()
}
