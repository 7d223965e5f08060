//! Understands as much of a Dockerfile as is needed before it is built: its stages, the image that a stage
//! comes from in the end, and the user it leaves behind.
//!
//! It builds nothing and checks nothing else; BuildKit says what is wrong with the rest.

mod frontend;
mod name;
mod taken;
mod text;
mod word;

pub use frontend::{NamedContexts, platform_args};
pub use name::{NamedStage, name_stage};

use std::collections::{BTreeMap, BTreeSet};
use taken::Taken;
use text::Line;

/// A Dockerfile's stages and what stands before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The image of the build frontend from a `# syntax=` line. BuildKit pulls it before it reads anything
    /// else, so that such a file needs a registry even when every image it builds on is there.
    pub syntax: Option<String>,
    /// At least one.
    pub stages: Vec<Stage>,
    /// `ARG`s before the first `FROM`.
    args: Vec<(String, Option<String>)>,
    escape: char,
}

/// Everything from one `FROM` to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The name behind `AS`, as written; names compare without case.
    pub name: Option<String>,
    /// The image or stage as written, with its variables.
    pub from: String,
    /// The value of `--platform`, as written.
    pub platform: Option<String>,
    /// The line of the `FROM`, from 1.
    pub line: usize,
    /// The last line of the `FROM`, from 1.
    last_line: usize,
    instructions: Vec<Instruction>,
    /// What it takes files from, beside what it is `FROM`.
    taken: Vec<Taken>,
}

/// An instruction that changes what variables or the user are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Instruction {
    Arg(String, Option<String>),
    Env(String, String),
    User(String),
}

/// Why a Dockerfile cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    /// There is no `FROM`.
    #[error("the Dockerfile has no `FROM`")]
    NoStage,
    /// A `FROM` that is not `FROM [--platform=…] IMAGE [AS NAME]`.
    #[error("line {line}: expected `FROM [--platform=…] IMAGE [AS NAME]`, found `{found}`")]
    From {
        /// The line, from 1.
        line: usize,
        /// The instruction as written.
        found: String,
    },
    /// The stage to build does not exist.
    #[error("the Dockerfile has no stage `{target}`{}", listed(stages))]
    UnknownTarget {
        /// The stage that was asked for.
        target: String,
        /// The names there are.
        stages: Vec<String>,
    },
    /// A variable left nothing of the image's name.
    #[error(
        "line {line}: `FROM {from}` names no image: a variable in it has no value; give it a default with `ARG`, or set it in \"build.args\""
    )]
    NoImage {
        /// The line, from 1.
        line: usize,
        /// The image as written.
        from: String,
    },
    /// A variable where the builder takes none.
    #[error(
        "line {line}: the builder puts no variables into `from={from}`; let a stage of its own be `FROM` that, and take from the stage"
    )]
    Variable {
        /// The line, from 1.
        line: usize,
        /// The image as written.
        from: String,
    },
}

fn listed(stages: &[String]) -> String {
    if stages.is_empty() { String::new() } else { format!(" (it has {})", stages.join(", ")) }
}

type Variables = BTreeMap<String, String>;

impl Dockerfile {
    /// Reads a whole Dockerfile.
    pub fn parse(text: &str) -> Result<Self, DockerfileError> {
        let (directives, lines) = text::lines(text);
        let escape = directives.escape;
        let mut file = Self { syntax: directives.syntax, stages: Vec::new(), args: Vec::new(), escape };
        for line in lines {
            if let Some(stage) = file.stages.last_mut() {
                stage.taken.extend(taken::of(&line, escape));
            }
            match line.keyword.as_str() {
                "FROM" => file.stages.push(parse_from(&line, escape)?),
                "ARG" => {
                    for (name, value) in parse_args(&line.rest, escape) {
                        match file.stages.last_mut() {
                            Some(stage) => stage.instructions.push(Instruction::Arg(name, value)),
                            None => file.args.push((name, value)),
                        }
                    }
                }
                "ENV" | "USER" => {
                    let Some(stage) = file.stages.last_mut() else { continue };
                    if line.keyword == "USER" {
                        stage.instructions.push(Instruction::User(line.rest.trim().to_owned()));
                    } else {
                        let pairs = parse_env(&line.rest, escape);
                        stage
                            .instructions
                            .extend(pairs.into_iter().map(|(name, value)| Instruction::Env(name, value)));
                    }
                }
                _ => {}
            }
        }
        if file.stages.is_empty() { Err(DockerfileError::NoStage) } else { Ok(file) }
    }

    /// The image that the target stage comes from in the end, through any stages between; `scratch` for none.
    pub fn base_image(
        &self,
        target: Option<&str>,
        build_args: &Variables,
    ) -> Result<String, DockerfileError> {
        let chain = self.chain(target, build_args)?;
        let first = chain.first().expect("a chain holds at least the target stage");
        self.image_of(*first, build_args)
    }

    /// The user that the target stage leaves behind: the last `USER` of it or of the stages it comes from.
    /// `None` when none of them says one, so that the base image's holds. `base_env` is the environment of
    /// the base image, which `USER $NAME` may use.
    pub fn user(
        &self,
        target: Option<&str>,
        build_args: &Variables,
        base_env: &Variables,
    ) -> Result<Option<String>, DockerfileError> {
        let globals = self.globals(build_args);
        let (mut args, mut env) = (Variables::new(), base_env.clone());
        let mut user = None;
        for index in self.chain(target, build_args)? {
            for instruction in &self.stages[index].instructions {
                let expand = |text: &str| {
                    word::expand(text, self.escape, |name| env.get(name).or_else(|| args.get(name)).cloned())
                };
                match instruction {
                    Instruction::Arg(name, default) => {
                        let given = build_args.get(name).cloned();
                        let value = given.or_else(|| default.as_deref().map(expand));
                        if let Some(value) = value.or_else(|| globals.get(name).cloned()) {
                            args.insert(name.clone(), value);
                        }
                    }
                    Instruction::Env(name, value) => {
                        let value = expand(value);
                        env.insert(name.clone(), value);
                    }
                    Instruction::User(name) => user = Some(expand(name)).filter(|name| !name.is_empty()),
                }
            }
        }
        Ok(user)
    }

    /// Every image that a build has a part of, without repetition: what stages are `FROM` and take files from, and the
    /// frontend; not `scratch`, not other stages. What an image triggers itself (`ONBUILD`) is not in the file.
    pub fn images(&self, build_args: &Variables) -> Result<Vec<String>, DockerfileError> {
        let mut images: Vec<String> = self.frontend(build_args).map(str::to_owned).into_iter().collect();
        for (index, stage) in self.stages.iter().enumerate() {
            let image = self.image_of(index, build_args)?;
            if self.earlier_stage(index, &image).is_none() {
                images.push(image);
            }
            for Taken { from, line, counts_stages } in &stage.taken {
                if from.contains('$') {
                    return Err(DockerfileError::Variable { line: *line, from: from.clone() });
                }
                let is_stage = self.find_stage(self.stages.len(), from).is_some()
                    || (*counts_stages && from.parse::<i64>().is_ok());
                if !is_stage && !from.is_empty() {
                    images.push(from.clone());
                }
            }
        }
        let mut known = BTreeSet::new();
        images.retain(|image| image != "scratch" && known.insert(image.clone()));
        Ok(images)
    }

    /// The stages that make up the target, the one `FROM` an image first and the target last.
    fn chain(&self, target: Option<&str>, build_args: &Variables) -> Result<Vec<usize>, DockerfileError> {
        let mut index = self.target_index(target)?;
        let mut chain = vec![index];
        while let Some(earlier) = self.earlier_stage(index, &self.image_of(index, build_args)?) {
            chain.push(earlier);
            index = earlier;
        }
        chain.reverse();
        Ok(chain)
    }

    fn target_index(&self, target: Option<&str>) -> Result<usize, DockerfileError> {
        let Some(target) = target else { return Ok(self.stages.len() - 1) };
        let by_number = || target.parse::<usize>().ok().filter(|number| *number < self.stages.len());
        self.find_stage(self.stages.len(), target).or_else(by_number).ok_or_else(|| {
            DockerfileError::UnknownTarget {
                target: target.to_owned(),
                stages: self.stages.iter().filter_map(|stage| stage.name.clone()).collect(),
            }
        })
    }

    /// The stage before `index` that an image name means, if it means one.
    fn earlier_stage(&self, index: usize, image: &str) -> Option<usize> {
        self.find_stage(index, image)
    }

    /// The last stage of that name among the first `count`.
    fn find_stage(&self, count: usize, name: &str) -> Option<usize> {
        self.stages[..count]
            .iter()
            .rposition(|stage| stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)))
    }

    fn image_of(&self, index: usize, build_args: &Variables) -> Result<String, DockerfileError> {
        let stage = &self.stages[index];
        let globals = self.globals(build_args);
        let image = word::expand(&stage.from, self.escape, |name| globals.get(name).cloned());
        if image.is_empty() || image.starts_with(':') || image.ends_with(':') || image.ends_with('/') {
            return Err(DockerfileError::NoImage { line: stage.line, from: stage.from.clone() });
        }
        Ok(image)
    }

    /// The variables that a `FROM` can use.
    fn globals(&self, build_args: &Variables) -> Variables {
        let mut known = Variables::new();
        for (name, default) in &self.args {
            let default = default
                .as_deref()
                .map(|text| word::expand(text, self.escape, |name| known.get(name).cloned()));
            if let Some(value) = build_args.get(name).cloned().or(default) {
                known.insert(name.clone(), value);
            }
        }
        // The platform's variables need no `ARG` before a `FROM`.
        for (name, value) in
            build_args.iter().filter(|(name, _)| name.starts_with("TARGET") || name.starts_with("BUILD"))
        {
            known.entry(name.clone()).or_insert_with(|| value.clone());
        }
        known
    }
}

fn parse_from(line: &Line, escape: char) -> Result<Stage, DockerfileError> {
    let malformed =
        || DockerfileError::From { line: line.number, found: format!("FROM {}", line.rest.trim()) };
    if !word::is_closed(&line.rest, escape) {
        return Err(malformed());
    }
    let mut words = word::split(&line.rest, escape);
    let mut platform = None;
    while words.first().is_some_and(|word| word.starts_with("--")) {
        let flag = words.remove(0);
        platform = flag.strip_prefix("--platform=").map(str::to_owned).or(platform);
    }
    let (from, name) = match words.as_slice() {
        [from] => (from, None),
        [from, keyword, name] if keyword.eq_ignore_ascii_case("as") => (from, Some(name.clone())),
        _ => return Err(malformed()),
    };
    Ok(Stage {
        name,
        from: from.clone(),
        platform,
        line: line.number,
        last_line: line.last,
        instructions: Vec::new(),
        taken: Vec::new(),
    })
}

fn parse_args(rest: &str, escape: char) -> Vec<(String, Option<String>)> {
    let split = |word: String| match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (word, None),
    };
    word::split(rest, escape).into_iter().map(split).collect()
}

/// `ENV NAME=value …`, or the old `ENV NAME the whole rest`.
fn parse_env(rest: &str, escape: char) -> Vec<(String, String)> {
    let words = word::split(rest, escape);
    if words.first().is_some_and(|word| !word.contains('=')) {
        let (name, value) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        return vec![(name.to_owned(), value.trim().to_owned())];
    }
    let pairs = words.iter().filter_map(|word| word.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests;
