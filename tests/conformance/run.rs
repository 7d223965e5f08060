//! Runs one case with one of the programs.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use devcontainer::{CONFIG_FILE_LABEL, DevcontainerId, LOCAL_FOLDER_LABEL};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use test_support::registry::Registry;

use crate::case::{Case, Published, RegistryKind, Row, Step};
use crate::publish::{pack, publish};
use crate::world::{Program, World};

/// What a step gave, without anything that another run would give otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) exit: i32,
    /// JSON where standard output is JSON, else text.
    pub(crate) out: Value,
    /// Standard error, and the message of a result that is an error.
    #[serde(skip)]
    pub(crate) said: String,
}

impl Answer {
    fn nothing() -> Self {
        Self { exit: 0, out: Value::Null, said: String::new() }
    }
}

/// One case on its way.
struct Run<'a> {
    world: &'a World,
    case: &'a Case,
    program: Program,
    /// Names of what the case has for itself: repositories in the registry.
    base: String,
    workspace: PathBuf,
    home: PathBuf,
    env: BTreeMap<String, String>,
    /// The port of the case's registry.
    port: u16,
    /// The registry, where it is this case's alone and still runs.
    own: Option<Registry>,
    container: String,
}

/// Runs a case; an answer for each step.
pub(crate) fn run(world: &World, row: &Row, case: &Case, program: Program) -> Vec<Answer> {
    let side = if program == Program::Ours { "o" } else { "r" };
    let base = format!("{}-{}", row.id.replace('/', "-"), case.name);
    let own = (case.registry == RegistryKind::Own).then(|| {
        let mut own = Registry::start().unwrap();
        own.serve_in(&world.engine);
        own
    });
    let mut run = Run {
        world,
        case,
        program,
        workspace: world.make_folder(&[side, &base, &case.name]),
        home: world.make_folder(&[side, &base, "home"]),
        base,
        env: BTreeMap::new(),
        port: own.as_ref().or_else(|| world.registry(case.registry)).unwrap().port(),
        own,
        container: String::new(),
    };
    run.env = case.env.iter().map(|(name, value)| (name.clone(), run.fill(value))).collect();
    run.prepare();
    case.steps.iter().map(|step| run.step(step)).collect()
}

impl Run<'_> {
    fn prepare(&self) {
        for (tag, dockerfile) in &self.case.images {
            self.world.build(tag, dockerfile);
        }
        for (key, published) in &self.case.features {
            self.publish(key, published);
        }
        for (name, published) in &self.case.archives {
            let file = self.world.make_folder(&["web", &self.base]).join(name);
            std::fs::write(file, pack("feature", published, &|text| self.fill(text))).unwrap();
        }
        for (path, text) in self.case.all_files() {
            let file = self.workspace.join(path);
            let is_script = file.extension().is_some_and(|extension| extension == "sh");
            self.write(&file, text, is_script);
        }
        for (path, text) in &self.case.home {
            self.write(&self.home.join(path), text, true);
        }
    }

    fn write(&self, file: &Path, text: &str, can_be_run: bool) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, self.fill(text)).unwrap();
        if can_be_run {
            std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }

    fn publish(&self, key: &str, published: &Published) {
        let registry = self.own.as_ref().or_else(|| self.world.registry(self.case.registry)).unwrap();
        publish(registry, &self.base, key, published, &|text| self.fill(text));
    }

    fn step(&mut self, step: &Step) -> Answer {
        if let Some(words) = &step.run {
            let words: Vec<String> = words.list().iter().map(|word| self.fill(word)).collect();
            return self.devcontainer(&words, step);
        }
        if let Some(script) = &step.host {
            let mut command = self.world.command(Path::new("sh"), &self.workspace, &self.home, &self.env);
            command.args(["-c", &self.fill(script)]).env("DEVCONTAINER", self.world.program(self.program));
            return self.answer(&command.output().unwrap());
        }
        if let Some(script) = &step.inside {
            return self.answer(&self.world.docker(&[
                "exec",
                &self.container,
                "sh",
                "-c",
                &self.fill(script),
            ]));
        }
        if let Some(published) = &step.publish {
            for (key, published) in published {
                self.publish(key, published);
            }
            return Answer::nothing();
        }
        if step.stop_registry {
            assert!(self.own.take().is_some(), "{}: it has no registry of its own", self.base);
            return Answer::nothing();
        }
        let pointers = step.inspect.iter().flat_map(BTreeMap::keys);
        let output = self.world.docker(&["inspect", &self.container]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let first = told.get(0).cloned().unwrap_or_default();
        let seen: Map<String, Value> = pointers
            .map(|pointer| {
                (pointer.clone(), self.normal(first.pointer(pointer).cloned().unwrap_or_default()))
            })
            .collect();
        Answer { exit: output.status.code().unwrap_or(-1), out: Value::Object(seen), said: String::new() }
    }

    fn devcontainer(&mut self, words: &[String], step: &Step) -> Answer {
        let program = self.world.program(self.program);
        let env = &self.env;
        let mut command = match step.person.as_ref().and_then(|person| person.split_once(':')) {
            None => self.world.command(program, &self.workspace, &self.home, env),
            Some((user, group)) => {
                let mut command = self.world.command(Path::new("setpriv"), &self.workspace, &self.home, env);
                // With the rights of root on files: the programs lie in folders of root.
                let rights = "+dac_override,+chown,+fowner";
                command.args([format!("--reuid={user}"), format!("--regid={group}")]).arg("--clear-groups");
                command.args([format!("--inh-caps={rights}"), format!("--ambient-caps={rights}")]);
                command.arg("--").arg(program);
                command
            }
        };
        let (name, rest) = words.split_first().expect("a command has a name");
        command.arg(name);
        if !step.bare {
            command.arg("--workspace-folder").arg(&self.workspace);
        }
        // The engine has its own front end for Dockerfiles and cannot fetch another.
        if self.program == Program::Reference && ["build", "up"].contains(&name.as_str()) {
            command.arg("--omit-syntax-directive");
        }
        let output = command.args(rest).output().unwrap();
        self.answer(&output)
    }

    fn answer(&mut self, output: &Output) -> Answer {
        let text = String::from_utf8_lossy(&output.stdout);
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        let out = match serde_json::from_str::<Value>(&text) {
            Ok(json @ (Value::Object(_) | Value::Array(_))) => json,
            _ => Value::String(text.trim().to_owned()),
        };
        if let Some(Value::String(container)) = out.get("containerId") {
            self.container.clone_from(container);
        }
        for key in ["message", "description"] {
            if let Some(Value::String(text)) = out.get(key) {
                said.push('\n');
                said.push_str(text);
            }
        }
        let said = self.normal_text(&said).replace(&format!(":{}", self.port), ":{port}");
        Answer { exit: output.status.code().unwrap_or(-1), out: self.normal(out), said }
    }

    /// By `localhost`, and no other name of the loopback, the reference speaks plain HTTP.
    fn registry(&self) -> String {
        let host = if self.case.registry == RegistryKind::Tls { "127.0.0.1" } else { "localhost" };
        format!("{host}:{}/{}", self.port, self.base)
    }

    fn web(&self) -> String {
        format!("https://localhost:{}/{}", self.world.web, self.base)
    }

    /// Puts the case's own names in place of their placeholders.
    fn fill(&self, text: &str) -> String {
        text.replace("{workspace}", self.workspace.to_str().unwrap())
            .replace("{home}", self.home.to_str().unwrap())
            .replace("{port}", &self.port.to_string())
            .replace("{namespace}", &self.base)
            .replace("{registry}", &self.registry())
            .replace("{web}", &self.web())
            .replace("{authority}", self.world.authority().to_str().unwrap())
            .replace("{path}", &self.world.engine.env()["PATH"])
            .replace("{plugins}", test_support::dockerd::plugins().as_str())
            .replace("{container}", &self.container)
    }

    /// Puts placeholders in place of what is another in every run, and takes the words of errors away.
    fn normal(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.normal_text(&text)),
            Value::Array(list) => Value::Array(list.into_iter().map(|it| self.normal(it)).collect()),
            // A path as the reference's editor keeps it.
            Value::Object(map) if map.contains_key("$mid") => {
                self.normal(map.get("path").cloned().unwrap_or_default())
            }
            Value::Object(mut map) => {
                if map.get("outcome").is_some_and(|outcome| outcome == "error") {
                    map.retain(|key, _| !["message", "description", "learnMoreUrl"].contains(&key.as_str()));
                }
                // What the reference tells about its own handling of credentials; no tool reads it.
                map.remove("ociAuthDiagnostics");
                map.into_iter().map(|(key, it)| (self.normal_text(&key), self.normal(it))).collect()
            }
            other => other,
        }
    }

    fn normal_text(&self, text: &str) -> String {
        let registry = self.registry();
        let mut text = text
            .replace(self.workspace.to_str().unwrap(), "{workspace}")
            .replace(self.home.to_str().unwrap(), "{home}")
            .replace(&self.web(), "{web}")
            .replace(&registry, "{registry}");
        if self.container.len() > 12 {
            text = text.replace(&self.container, "{container}").replace(&self.container[..12], "{container}");
        }
        for file in [".devcontainer/devcontainer.json", ".devcontainer.json"] {
            text = text.replace(self.id(file).as_str(), "{devcontainerId}");
        }
        text
    }

    /// The identity of the container that a configuration of this workspace makes.
    fn id(&self, file: &str) -> DevcontainerId {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        DevcontainerId::of_labels(&BTreeMap::from([
            (LOCAL_FOLDER_LABEL.to_owned(), text(&self.workspace)),
            (CONFIG_FILE_LABEL.to_owned(), text(&self.workspace.join(file))),
        ]))
    }
}
