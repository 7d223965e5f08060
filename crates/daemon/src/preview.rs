//! What asking for a folder would do: the same reading, looking and planning as for a real wish, without its steps.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{
    DEFAULT_MACHINE, DesiredPhase, Environment, EnvironmentId, EnvironmentSpec, EnvironmentStatus, Metadata,
    Name, PlanRequest, PlannedStep, Preview, Problem, ProblemCode, RebuildPreview, Session, Source, Unasked,
};
use devcontainer::{ContainerSource, MountKind};
use jiff::Timestamp;
use provision::features::{self, LockfileUse};
use reconciler::{ContainerFacts, Trust};
use serde_json::Map;

use crate::configuration::{self, Reading};
use crate::observe::{self, Observation};
use crate::problems;
use crate::reconcile::{Memory, Parts, Reconciler};
use crate::sources::Person;
use crate::warnings;

/// How long registries may take to tell what features are.
const FEATURES_TIME: Duration = Duration::from_secs(15);

/// Length of the name that the engine gives to a volume without one.
const ANONYMOUS_NAME: usize = 64;

impl Reconciler {
    /// What asking for a folder now would do, and what making its container anew would mean.
    ///
    /// # Errors
    /// The configuration cannot be read, or the machine's engine does not answer though it is on.
    pub async fn preview(
        &self,
        request: &PlanRequest,
        environment: Option<&Environment>,
    ) -> Result<Preview, Problem> {
        let parts = self.parts();
        let is_here = environment.is_none_or(|it| it.spec.source.is_here());
        if is_here && parts.machine.shared_root_of(&request.folder).is_none() {
            return Err(problems::folder_not_shared(&request.folder));
        }
        let wish = asked_for(request, environment);
        let reading = configuration::read_with(parts, &wish, Person::new(&request.variables))?;
        configuration::judge_sources(parts, &reading.config)?;
        parts.machine.heard().await;
        let mut memory = Memory {
            reading: Some(reading.clone()),
            failure: None,
            automations: None,
            untold: None,
            started: None,
            ran: None,
            answered: None,
            ..environment.map(|environment| self.known(&environment.id)).unwrap_or_default()
        };
        let mut observation = observe::observe(parts, &wish, &mut memory).await?;
        assume_last_seen(&mut observation, &wish);
        let facts = &observation.facts;
        let plan = |wish: &Environment| {
            reconciler::plan(&wish.spec, wish.metadata.generation, facts, Timestamp::now()).plan
        };
        let changes = match &facts.container {
            ContainerFacts::Present { digest, .. } => {
                warnings::changes_since(parts, &wish, &reading, digest)?
            }
            ContainerFacts::Absent | ContainerFacts::Foreign | ContainerFacts::Unseen => Vec::new(),
        };
        let rebuild = matches!(facts.container, ContainerFacts::Present { .. }).then(|| {
            let mut anew = wish.clone();
            anew.spec.rebuild = Session::fresh();
            cost_of_rebuild(&reading, &observation, plan(&anew).steps)
        });
        let is_made = matches!(&facts.container, ContainerFacts::Present { digest, .. } if *digest == reading.config.digest);
        // What is known of them was known when the container was made of them.
        let features =
            if is_made || !request.features { Vec::new() } else { feature_warnings(parts, &reading).await };
        let told_otherwise = [ProblemCode::ConsentNeeded, ProblemCode::ConfigChanged];
        let warnings = facts.config.iter().flat_map(|config| config.warnings.clone());
        Ok(Preview {
            environment: environment.map(|environment| environment.metadata.name.clone()),
            folder: request.folder.clone(),
            config_file: reading.config.file.clone(),
            plan: plan(&wish),
            changes,
            rebuild,
            consents: open_consents(&reading),
            warnings: features
                .into_iter()
                .chain(warnings.filter(|warning| !told_otherwise.contains(&warning.code)))
                .collect(),
        })
    }
}

/// The environment as it would be wanted.
fn asked_for(request: &PlanRequest, environment: Option<&Environment>) -> Environment {
    let mut wish = environment.cloned().unwrap_or_else(|| Environment {
        id: EnvironmentId::random(),
        metadata: Metadata {
            name: Name::from_text(request.folder.file_name().unwrap_or_default()),
            created_at: Timestamp::now(),
            generation: 1,
            resource_version: 0,
        },
        spec: EnvironmentSpec {
            desired_phase: DesiredPhase::Running,
            source: Source::Folder { path: request.folder.clone() },
            config: request.config.clone(),
            machine: Name::from_text(DEFAULT_MACHINE),
            rebuild: Session::default(),
            retry: Session::default(),
            consents: Vec::new(),
            unasked: Unasked::LeaveOut,
            dotfiles: None,
            prebuild: None,
            ports: Vec::new(),
            automations: BTreeMap::new(),
            grants: Vec::new(),
            idle: api::IdlePolicy::NEVER,
            idle_since: None,
        },
        status: EnvironmentStatus::default(),
    });
    wish.spec.desired_phase = DesiredPhase::Running;
    wish.spec.unasked = Unasked::LeaveOut;
    wish.spec.retry = Session::fresh();
    wish
}

/// While the machine is off, the container is taken to be there as it was seen last.
fn assume_last_seen(observation: &mut Observation, environment: &Environment) {
    let status = &environment.status;
    if let (ContainerFacts::Unseen, Some(container)) = (&observation.facts.container, &status.container) {
        observation.facts.container = ContainerFacts::Present {
            id: container.id.clone(),
            run: None,
            digest: container.config_digest.clone(),
            rebuild: status.rebuild.clone(),
            complete: false,
            active: false,
        };
    }
}

/// What is to be said of features before a container is made of them; also that they cannot be had.
async fn feature_warnings(parts: &Parts, reading: &Reading) -> Vec<Problem> {
    let request = features::Request {
        config: &reading.config,
        additional: &Map::new(),
        lockfile: LockfileUse::Read,
        registry: &parts.registry,
    };
    match tokio::time::timeout(FEATURES_TIME, features::resolve(&request, &())).await {
        Ok(Ok(features)) => problems::from_feature_warnings(&features.warnings),
        Ok(Err(error)) => vec![problems::from_features(&error)],
        Err(_) => {
            let title = "the features of the configuration were not looked at: their registry takes long";
            vec![Problem::new(ProblemCode::RegistryUnreachable, title)]
        }
    }
}

fn open_consents(reading: &Reading) -> Vec<api::Consent> {
    let may_agree = |trust| trust == Trust::Open || reading.is_sandboxed;
    let command = reading.initialize.iter().filter(|(_, trust)| may_agree(*trust));
    command.map(|(consent, _)| consent.clone()).chain(reading.withheld.open()).collect()
}

fn cost_of_rebuild(reading: &Reading, observation: &Observation, steps: Vec<PlannedStep>) -> RebuildPreview {
    let config = &reading.config;
    let mut lost = vec![
        "the container's own files: what was installed or written in it by hand, outside of the folder and of volumes"
            .to_owned(),
    ];
    let mut kept = vec![format!("the folder {}", config.workspace)];
    match &observation.state {
        Some(state) => {
            for mount in state.mounts.iter().filter(|mount| mount.is_volume()) {
                if is_anonymous(&mount.source) {
                    lost.push(format!("the volume without a name at {}", mount.target));
                } else {
                    kept.push(format!("the volume `{}` at {}", mount.source, mount.target));
                }
            }
        }
        // As far as the file says.
        None => {
            for mount in config.properties.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
                match &mount.source {
                    Some(name) => kept.push(format!("the volume `{name}` at {}", mount.target)),
                    None => lost.push(format!("the volume without a name at {}", mount.target)),
                }
            }
        }
    }
    if matches!(config.container, ContainerSource::Compose(_)) {
        kept.push("the other services of the compose project, and their volumes".to_owned());
    }
    RebuildPreview { steps, lost, kept }
}

fn is_anonymous(volume: &str) -> bool {
    volume.len() == ANONYMOUS_NAME && volume.bytes().all(|byte| byte.is_ascii_hexdigit())
}
