use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// Serves repositories by https to who has the password, with git's own `http-backend`.
async fn serve(root: Utf8PathBuf, authority: Utf8PathBuf) -> u16 {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs_err::write(authority, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(move |request| backend(root.clone(), request));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper_util::service::TowerToHyperService::new(router);
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

async fn backend(root: Utf8PathBuf, request: Request) -> Response<Body> {
    let (request, body) = request.into_parts();
    let answer = Response::builder();
    let header = |name: &str| request.headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let expected = format!("Basic {}", BASE64_STANDARD.encode("ada:t0ken-of-ada"));
    if header("authorization") != Some(expected) {
        let answer =
            answer.status(StatusCode::UNAUTHORIZED).header("WWW-Authenticate", "Basic realm=\"git\"");
        return answer.body(Body::empty()).unwrap();
    }
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "ada")
        .env("REQUEST_METHOD", request.method.as_str())
        .env("PATH_INFO", request.uri.path())
        .env("QUERY_STRING", request.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&body).await.unwrap();
    let said = child.wait_with_output().await.unwrap().stdout;
    let end = said.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let mut answer = answer;
    for line in String::from_utf8_lossy(&said[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        answer = match name {
            "Status" => answer.status(value[..3].parse::<u16>().unwrap()),
            _ => answer.header(name, value),
        };
    }
    answer.body(Body::from(said[end + 4..].to_vec())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_has_a_login_by_https_for_the_granted_host_and_its_person_without_a_grant() {
    let Some(story) = Story::begin("").await else { return };
    let person = &story.person;
    // A private repository, and a person who can reach it.
    let root = person.home.join("served");
    person.run(&["git", "init", "--quiet", "--bare", root.join("private.git").as_str()]);
    let authority = person.home.join("authority.pem");
    let port = serve(root, authority.clone()).await;
    let host = format!("localhost:{port}");
    let logins = format!("https://ada:t0ken-of-ada@localhost%3a{port}\n");
    fs_err::write(person.home.join("logins"), logins).unwrap();
    let helper = format!("store --file {}", person.home.join("logins"));
    person.run(&["git", "config", "--global", "credential.helper", &helper]);

    // git as it is in the container: its helper there, by way of docker.
    let id = story.web.status.container.as_ref().unwrap().id.clone();
    let socket = story.place.dockerd.as_ref().unwrap().socket();
    let inside =
        format!("!docker -H unix://{socket} exec -i -u vscode {id} /dev/cove/bin/cove-inside git-credential");
    let git = |folder: &str, arguments: &[&str]| {
        let mut command = tokio::process::Command::new("git");
        command
            .args(["-C", folder, "-c", "http.sslVerify=true", "-c", "user.name=x", "-c", "user.email=x"])
            .args(["-c", "credential.helper=", "-c", &format!("credential.helper={inside}")])
            .args(arguments)
            .env("GIT_SSL_CAINFO", &authority)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env_remove("GIT_ASKPASS");
        command.output()
    };
    let url = format!("https://{host}/private.git");
    let refused = git("/", &["ls-remote", &url]).await.unwrap();
    assert!(!refused.status.success(), "nothing is granted by itself: {refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing is granted"), "{refused:?}");

    story.grant(GrantKind::Git, Some(&host)).await;
    let clone = person.home.join("clone");
    said(&git("/", &["clone", "--quiet", &url, clone.as_str()]).await.unwrap());
    fs_err::write(clone.join("file"), "text").unwrap();
    for arguments in [&["add", "."][..], &["commit", "-qm", "one"], &["push", "-q", "origin", "HEAD"]] {
        said(&git(clone.as_str(), arguments).await.unwrap());
    }
    assert_eq!(said(&git("/", &["ls-remote", "--heads", &url]).await.unwrap()).lines().count(), 1);

    // Another host is another grant; other protocols have none.
    for question in [
        "protocol=https\\nhost=github.com\\n\\n".to_owned(),
        format!("protocol=http\\nhost={host}\\n\\n"),
        format!("protocol=https\\nhost={host}\\rx\\n\\n"),
    ] {
        let line = format!("printf '{question}' | /dev/cove/bin/cove-inside git-credential get 2>/dev/null");
        assert_eq!(story.place.output(&story.web, &line).await, "", "{question}");
    }
    let line =
        format!("printf 'protocol=https\\nhost={host}\\n\\n' | /dev/cove/bin/cove-inside git-credential get");
    assert_eq!(story.place.output(&story.web, &line).await, "username=ada\npassword=t0ken-of-ada");

    // git in the container, which something else than Cove starts, knows of it, and of who the person is. What the
    // repository says of that wins.
    portable("/usr/bin/git", &story.place.folder.join("git"));
    let folder = story.web.status.container.as_ref().unwrap().workspace_folder.clone();
    let in_container = |line: &str| {
        let line = format!("export HOME=/home/vscode PATH={folder}/git:$PATH; {line}");
        story.place.docker(&["exec", "-u", "vscode", &id, "sh", "-c", &line]).trim().to_owned()
    };
    assert_eq!(
        in_container("cd /tmp; git config user.name; git config user.email"),
        "Ada \"the\" Countess\nada@example.com"
    );
    assert_eq!(
        in_container(&format!(
            "printf 'protocol=https\\nhost={host}\\n\\n' | git credential fill | grep -c t0ken"
        )),
        "1"
    );
    assert_eq!(
        in_container(
            "git init -q /tmp/own; cd /tmp/own; git config user.email other@example.com; git config user.name; git config user.email"
        ),
        "Ada \"the\" Countess\nother@example.com"
    );
    assert_eq!(in_container("ls -ld /dev/cove/gitconfig | cut -c1-10"), "-rw-r--r--");

    story.revoke();
    let after = git("/", &["ls-remote", &url]).await.unwrap();
    assert!(!after.status.success(), "{after:?}");
    story.settle().await;
    assert!(!in_container("cat /dev/cove/gitconfig").contains("credential"));

    let audit = story.audit().await;
    let count = |begin: &str| audit.iter().filter(|line| line.starts_with(begin)).count();
    assert!(count(&format!("used git {host}: a login of git")) >= 4, "{audit:#?}");
    assert_eq!(count("refused git github.com: a login of git: it is not granted"), 1, "{audit:#?}");
    let unsafe_ones = audit.iter().filter(|line| line.contains("only logins by https are given"));
    assert_eq!(unsafe_ones.count(), 2, "{audit:#?}");
    // The secret is in no file of the daemon's, and nowhere in the container.
    let home = story.place.fixture.paths.root();
    assert!(!Command::new("grep").args(["-rqa", "t0ken-of-ada", home.as_str()]).status().unwrap().success());
    assert!(!story.place.docker(&["inspect", &id]).contains("t0ken"));
    story.end().await;
}
