//! Environments from a repository's URL: real git, a real engine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use api::{CloneRequest, DesiredPhase, HookStage, RepositoryUrl};
use base64::Engine as _;
use camino::Utf8Path;

use super::*;

/// The image of these tests: that of all others, with git.
pub(super) const GIT_IMAGE: &str = "cove-test/git:1";

/// Puts this computer's git and its libraries into an image.
pub(super) fn provide_git(place: &Place) {
    let script = format!(
        r#"set -e
        id=$(docker create {BASE_IMAGE} true)
        tmp=$(mktemp -d)
        for file in /usr/bin/git $(ldd /usr/bin/git | grep -o '/[^ ]*'); do
            mkdir -p "$tmp/$(dirname "$file")"; cp -L "$file" "$tmp/$file"
        done
        tar -C "$tmp" -c . | docker cp - "$id":/
        docker commit "$id" {GIT_IMAGE} >/dev/null
        docker rm "$id" >/dev/null; rm -r "$tmp""#
    );
    let dockerd = place.dockerd.as_ref().expect("the story has an engine");
    let done = Command::new("sh").args(["-c", &script]).envs(dockerd.env()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Runs git as nobody in particular, and gives what it said.
pub(super) fn git(folder: &Utf8Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=ada", "-c", "user.email=ada@example.com"]);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with these files on its branch `main`. `IMAGE` in them is the image with git.
pub(super) fn repository(folder: &Utf8Path, files: &[(&str, &str)]) {
    fs_err::create_dir_all(folder).unwrap();
    git(folder, &["init", "--quiet", "--initial-branch=main"]);
    for (name, text) in files {
        let path = folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text.replace("IMAGE", GIT_IMAGE)).unwrap();
    }
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message=first"]);
}

pub(super) fn clone_of(place: &Place, url: &str) -> UpRequest {
    let read = RepositoryUrl::parse(url).unwrap();
    UpRequest {
        folder: crate::clone::folder_of(&place.fixture.paths.clones_dir(), &read, &UpRequest::default()),
        repository: Some(CloneRequest {
            url: read.url().to_owned(),
            branch: read.branch().map(str::to_owned),
            grant: false,
        }),
        ..UpRequest::default()
    }
}

pub(super) async fn removed(place: &Place, environment: &Environment) {
    let id = &environment.id;
    place.fixture.store.change_spec(id, None, |spec| spec.desired_phase = DesiredPhase::Deleted).unwrap();
    place.reconciler.ask(id);
    let mut events = place.fixture.store.subscribe();
    while place.fixture.store.environment(id).unwrap().is_some() {
        let _ = tokio::time::timeout(PATIENCE, events.recv()).await.expect("it goes");
    }
}

async fn work_apart_is_found(place: &Place, web: &Environment) {
    // Nor what is in another worktree, or in a submodule.
    let apart = "git worktree add -q --detach apart; cd apart; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m alone; echo x > new";
    place.output(web, apart).await;
    let lines = place.reconciler.unsaved(web).await.unwrap_err().log_tail;
    assert!(lines.iter().any(|it| it.starts_with("not pushed: ") && it.ends_with(" alone")), "{lines:?}");
    assert!(lines.contains(&"not committed in /workspaces/web/apart: ?? new".to_owned()), "{lines:?}");
    let module = "git worktree remove --force apart; git init -q -b main sub; git -C sub -c user.name=a -c user.email=a@b commit -q --allow-empty -m within; git update-index --add --cacheinfo 160000,$(git -C sub rev-parse HEAD),sub";
    place.output(web, module).await;
    let lines = place.reconciler.unsaved(web).await.unwrap_err().log_tail;
    assert!(
        lines.iter().any(|it| it.starts_with("not pushed in sub: ") && it.ends_with(" within")),
        "{lines:?}"
    );
    place.output(web, "rm -r sub; git reset -q --hard").await;
    place.reconciler.unsaved(web).await.unwrap();
}

async fn a_volume_without_its_mark_is_kept(
    place: &Place,
    request: &UpRequest,
    web: Environment,
) -> Environment {
    // Not even without its mark, which went with a git folder that somebody made anew, is a volume filled again.
    place.output(&web, "rm -r .git").await;
    fs_err::remove_dir_all(place.fixture.paths.clones_dir()).unwrap();
    place.docker(&["rm", "--force", &web.status.container.as_ref().unwrap().id]);
    let kept = place.up(request).await.status.problem.expect("it may hold work");
    assert_eq!(kept.code, ProblemCode::UnsavedWork);
    let volume = format!("cove-src-{}", web.id);
    let mount = format!("{volume}:/kept");
    assert_eq!(place.docker(&["run", "--rm", "-v", &mount, BASE_IMAGE, "cat", "/kept/work"]), "precious");
    // One that a person removed is.
    place.docker(&["volume", "rm", &volume]);
    let web = place.up(request).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(place.output(&web, "git status --porcelain").await, "");
    web
}

const CONFIG: &str = r#"{
    "image": "IMAGE", "remoteUser": "dev", "remoteEnv": {"WHO": "${localEnv:WHO}", "STAGE": "one"},
    "onCreateCommand": "stat -c %u:%g . README.md .git/HEAD > /tmp/owners; id -u > /tmp/me"
}"#;

#[tokio::test]
async fn a_clone_lives_in_a_volume_and_is_not_lost() {
    let Some(place) = Place::start("none") else { return };
    provide_git(&place);
    let origin = place.fixture.share().join("web.git");
    let long = format!("{}/deep.txt", ["folder"; 30].join("/"));
    repository(
        &origin,
        &[
            (".devcontainer/devcontainer.json", CONFIG),
            ("README.md", "hi"),
            ("a", "1"),
            ("A", "2"),
            (&long, "x"),
        ],
    );
    fs_err::write(origin.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs_err::set_permissions(origin.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let target = format!("./{}", "long/".repeat(40));
    std::os::unix::fs::symlink(&target, origin.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc//passwd", origin.join("passwd")).unwrap();
    git(&origin, &["add", "--all"]);
    git(&origin, &["commit", "--quiet", "--message=second"]);
    let head = git(&origin, &["rev-parse", "HEAD"]);

    let variables = [("WHO", "ada"), ("PATH", "/usr/bin:/bin"), ("OTHER", "not-named")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let request = UpRequest {
        caller_variables: Some(Secrets(variables)),
        ..clone_of(&place, &format!("file://{origin}"))
    };
    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(web.metadata.name.as_str(), "web");
    let look = "pwd; git status --porcelain; git rev-parse HEAD; cat a A run.sh README.md; echo $WHO; readlink link; readlink passwd; test -x run.sh && git branch -vv";
    let seen = place.output(&web, look).await;
    let branch = format!("* main {} [origin/main] second", &head[..7]);
    let expected = ["/workspaces/web", &head, "12#!/bin/sh", "hiada", &target, "/etc//passwd", &branch];
    assert_eq!(seen.lines().collect::<Vec<_>>(), expected);
    let owners = place.output(&web, "cat /tmp/owners /tmp/me").await;
    let me = owners.lines().last().unwrap();
    let all: Vec<&str> = owners.lines().collect();
    assert!(all[..3].iter().all(|owner| owner.starts_with(&format!("{me}:"))), "{owners}");

    // It is in a volume; of this computer nothing is mounted, and nothing is left here but the configuration.
    let container = web.status.container.as_ref().unwrap().id.clone();
    let mounts = place.docker(&[
        "inspect",
        "--format",
        "{{range .Mounts}}{{.Type}} {{.Destination}};{{end}}",
        &container,
    ]);
    assert_eq!(mounts, "volume /workspaces/web;");
    let folder = web.spec.source.folder();
    assert!(folder.join(".devcontainer/devcontainer.json").is_file() && !folder.join("README.md").exists());
    assert!(!folder.join("../../tree").exists());
    let store = fs_err::read(place.fixture.paths.store_file()).unwrap();
    assert!(!String::from_utf8_lossy(&store).contains("not-named"));

    // What is edited in the container counts with the next `up`, whether the machine is on or not.
    let edit = "sed -i s/one/two/ .devcontainer/devcontainer.json; git status --porcelain";
    assert_eq!(place.output(&web, edit).await.trim(), "M .devcontainer/devcontainer.json");
    let web = place.up(&request).await;
    assert_eq!(place.output(&web, "echo $STAGE").await, "two");

    // Nothing that is in the volume alone goes with the environment unless somebody says so.
    let problem = place.reconciler.unsaved(&web).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::UnsavedWork);
    assert_eq!(problem.log_tail, ["not committed:  M .devcontainer/devcontainer.json"]);
    let commit = "git -c user.name=a -c user.email=a@b commit -qam mine && git status --porcelain";
    assert_eq!(place.output(&web, commit).await, "");
    let problem = place.reconciler.unsaved(&web).await.unwrap_err();
    assert!(
        problem.log_tail[0].starts_with("not pushed: ") && problem.log_tail[0].ends_with(" mine"),
        "{problem:?}"
    );
    let aside =
        "echo x >> README.md; git -c user.name=a -c user.email=a@b stash -q; git reset -q --hard origin/main";
    place.output(&web, aside).await;
    let problem = place.reconciler.unsaved(&web).await.unwrap_err();
    assert!(problem.log_tail[0].starts_with("put aside: stash@{0}"), "{problem:?}");
    place.output(&web, "git stash drop -q").await;
    work_apart_is_found(&place, &web).await;

    // All that is known here goes, and the work stays: it is found in the volume.
    assert_eq!(place.output(&web, "echo precious > work").await, "");
    fs_err::remove_dir_all(place.fixture.paths.clones_dir()).unwrap();
    let problem = place.reconciler.unsaved(&web).await.unwrap_err();
    assert_eq!(problem.log_tail, ["not committed: ?? work"]);
    let web = place.up(&UpRequest { rebuild: true, ..request.clone() }).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(place.output(&web, "cat work").await, "precious");
    // Even without a container that has the volume: then the volume itself says that it is whole.
    fs_err::remove_dir_all(place.fixture.paths.clones_dir()).unwrap();
    place.docker(&["rm", "--force", &web.status.container.as_ref().unwrap().id]);
    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(place.output(&web, "cat work").await, "precious");

    let web = a_volume_without_its_mark_is_kept(&place, &request, web).await;
    let volume = format!("cove-src-{}", web.id);
    let mount = format!("{volume}:/kept");
    assert!(place.docker(&["volume", "ls", "--quiet"]).contains(&volume));
    // One who looked for work and was cut off keeps nothing.
    let looking = format!("dev.cove.looking={}", web.id);
    place.docker(&["run", "--detach", "--label", &looking, "-v", &mount, BASE_IMAGE, "sleep", "600"]);
    removed(&place, &web).await;
    assert!(!place.docker(&["volume", "ls", "--quiet"]).contains(&volume));
    assert!(!folder.exists());
    place.end().await;
}

#[tokio::test]
async fn whatever_was_cut_off_is_done_again() {
    let Some(place) = Place::start("none") else { return };
    provide_git(&place);
    let origin = place.fixture.share().join("web");
    // A Dockerfile sees the repository around it, and is for root, who is not whom most images have.
    let config = r#"{"build": {"dockerfile": "../docker/Dockerfile", "context": ".."}}"#;
    let dockerfile = "FROM IMAGE\nCOPY src/built /built\n";
    repository(
        &origin,
        &[
            (".devcontainer/devcontainer.json", config),
            ("docker/Dockerfile", dockerfile),
            ("src/built", "from here"),
        ],
    );
    git(&origin, &["checkout", "--quiet", "-b", "feature/x"]);
    fs_err::write(origin.join("of-branch"), "yes").unwrap();
    git(&origin, &["add", "--all"]);
    git(&origin, &["commit", "--quiet", "--message=branch"]);
    git(&origin, &["checkout", "--quiet", "main"]);
    let request = clone_of(&place, &format!("file://{origin}#feature/x"));
    let (known, _) = place.fixture.store.up(&request, Session::fresh(), Timestamp::now()).unwrap();

    // As a daemon leaves it that is killed: half a clone, half a volume, and who filled it.
    let key = request.folder.parent().unwrap().parent().unwrap();
    fs_err::create_dir_all(key.join("part-old/clone/.git")).unwrap();
    fs_err::create_dir_all(request.folder.join(".devcontainer")).unwrap();
    let volume = format!("cove-src-{}", known.id);
    let filling = format!("dev.cove.filling={}", known.id);
    let mount = format!("{volume}:/cove-source");
    place.docker(&[
        "run",
        "--label",
        &filling,
        "-v",
        &mount,
        BASE_IMAGE,
        "sh",
        "-c",
        "echo half > /cove-source/half",
    ]);

    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    let look = "cat /built of-branch; ls; git status --porcelain; stat -c %u README 2>/dev/null; stat -c %u:%g of-branch .";
    let seen = place.output(&web, look).await;
    assert_eq!(seen, "from hereyesdocker\nof-branch\nsrc\n0:0\n0:0");
    assert!(!key.join("part-old").exists() && !key.join("tree").exists());
    assert_eq!(place.docker(&["ps", "--all", "--quiet", "--filter", &format!("label={filling}")]), "");
    assert_eq!(place.docker(&["images", "--quiet", "--filter", &format!("label={filling}")]), "");

    // More in the folder of the configuration than is ever copied is told, and the way back in stays open.
    place.output(&web, "head -c 20000000 /dev/zero > .devcontainer/big").await;
    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    assert!(serde_json::to_string(&place.events()).unwrap().contains("it is too large"));
    place.output(&web, "rm .devcontainer/big").await;
    place.end().await;
}

/// Serves the files of a folder to those who bring a password; the requests, and whether they brought it.
struct Private {
    port: u16,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Private {
    fn serve(folder: &Utf8Path, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<(String, bool)>>>::default();
        let (folder, noted) = (folder.to_owned(), Arc::clone(&asked));
        let wanted = base64::engine::general_purpose::STANDARD.encode(format!("ada:{password}"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(stream.unwrap(), &folder, &wanted, &noted);
            }
        });
        Self { port, asked }
    }
}

fn answer(
    mut stream: TcpStream,
    folder: &Utf8Path,
    wanted: &str,
    noted: &Mutex<Vec<(String, bool)>>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|it| it == b"\r\n\r\n") {
        let read = stream.read(&mut piece)?;
        // A git that was called off asks no further.
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..read]);
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let is_in = text.contains(wanted);
    noted.lock().unwrap().push((path.clone(), is_in));
    let found = fs_err::read(folder.join(path.trim_start_matches('/'))).ok();
    let (status, extra, body) = match found {
        _ if !is_in => ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", Vec::new()),
        Some(body) => ("200 OK", "", body),
        None => ("404 Not Found", "", Vec::new()),
    };
    let head =
        format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

#[tokio::test]
async fn credentials_serve_one_clone_that_they_were_granted_for() {
    let Some(place) = Place::start("none") else { return };
    provide_git(&place);
    let top = place.fixture.share().join("served");
    repository(&top.join("work"), &[(".devcontainer.json", r#"{"image": "IMAGE"}"#)]);
    git(&top, &["clone", "--quiet", "--bare", "work", "web.git"]);
    git(&top.join("web.git"), &["update-server-info"]);
    let served = Private::serve(&top, "s3cret-of-ada");
    // The person's git has a helper that knows the password, a hook, and a filter.
    let home = place.fixture.share().join("home");
    fs_err::create_dir_all(home.join("hooks")).unwrap();
    let helper = format!("!echo asked >> {home}/asked; echo username=ada; echo password=s3cret-of-ada; :");
    for (name, value) in [
        ("credential.helper", helper.as_str()),
        ("core.hooksPath", home.join("hooks").as_str()),
        ("http.extraHeader", "X-Own: of-ada"),
    ] {
        git(&home, &["config", "--file", home.join(".gitconfig").as_str(), name, value]);
    }
    let hook = home.join("hooks/post-checkout");
    test_support::put_program(&hook, &format!("#!/bin/sh\ntouch {home}/hooked\n"));
    let variables = [
        ("HOME", home.as_str()),
        ("PATH", "/usr/bin:/bin"),
        ("no_proxy", "*"),
        ("GIT_ASKPASS", "/bin/false"),
    ];
    let variables = Secrets(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let request = UpRequest {
        caller_variables: Some(variables),
        ..clone_of(&place, &format!("http://127.0.0.1:{}/web.git", served.port))
    };

    let refused = place.up(&request).await.status.problem.expect("it is private");
    assert_eq!(refused.code, ProblemCode::CloneDenied);
    assert!(
        refused.hints.iter().any(|hint| hint.command.as_ref().is_some_and(|it| it.ends_with("--grant git")))
    );
    assert!(!home.join("asked").exists(), "nobody asked for the password");
    assert!(served.asked.lock().unwrap().iter().all(|(_, is_in)| !is_in));

    let mut granted = request.clone();
    granted.repository.as_mut().unwrap().grant = true;
    let web = place.up(&granted).await;
    assert_eq!(web.status.problem, None);
    assert!(home.join("asked").exists() && !home.join("hooked").exists());
    let told = serde_json::to_string(&place.events()).unwrap();
    assert!(told.contains("as granted") && !told.contains("s3cret-of-ada"));
    let inside = "grep -r s3cret-of-ada . ; grep -r of-ada .git/config; git config --get-all credential.helper; echo end";
    assert_eq!(place.output(&web, inside).await, "end");
    assert!(
        place
            .docker(&["inspect", &web.status.container.as_ref().unwrap().id])
            .find("s3cret-of-ada")
            .is_none()
    );
    // It counted for that one wish.
    let uses = fs_err::read_to_string(home.join("asked")).unwrap();
    let again = place.up(&request).await;
    assert_eq!(again.status.problem, None);
    assert!(matches!(&again.spec.source, api::Source::Clone { granted: None, .. }));
    assert_eq!(fs_err::read_to_string(home.join("asked")).unwrap(), uses);
    assert!(again.status.hooks.iter().all(|hook| hook.stage != HookStage::Initialize));
    place.end().await;
}

#[tokio::test]
async fn a_command_of_a_clone_runs_here_only_once_agreed_to() {
    let Some(place) = Place::start("none") else { return };
    provide_git(&place);
    let origin = place.fixture.share().join("web");
    let config = r#"{"image": "IMAGE", "initializeCommand": "touch ran && ls -a > seen"}"#;
    repository(&origin, &[(".devcontainer.json", config), ("src", "x")]);
    let request = UpRequest { unasked: Unasked::Wait, ..clone_of(&place, &format!("file://{origin}")) };
    let asked = place.up(&request).await;
    let problem = asked.status.problem.expect("it is asked for");
    assert_eq!(problem.code, ProblemCode::ConsentNeeded);
    let folder = asked.spec.source.folder().clone();
    assert!(!folder.join("ran").exists());
    let consents = problem.consents.into_iter().map(|consent| consent.digest).collect();
    let web = place.up(&UpRequest { consents, ..request }).await;
    assert_eq!(web.status.problem, None);
    assert!(folder.join("ran").exists());
    assert_eq!(place.output(&web, "ls").await, "src");

    // A repository that is not there says so, and a mistake in its file is told before a machine is needed.
    let gone = place.up(&clone_of(&place, &format!("file://{origin}-gone"))).await.status.problem.unwrap();
    assert_eq!(gone.code, ProblemCode::CloneFailed);
    assert!(gone.log_tail.iter().any(|line| line.contains("does not")), "{gone:?}");
    let composed = place.fixture.share().join("composed");
    let config = r#"{"dockerComposeFile": "compose.yaml", "service": "app"}"#;
    repository(&composed, &[(".devcontainer.json", config), ("compose.yaml", "services: {app: {image: a}}")]);
    let problem = place.up(&clone_of(&place, &format!("file://{composed}"))).await.status.problem.unwrap();
    assert!(problem.title.contains("dockerComposeFile"), "{problem:?}");
    place.end().await;
}
