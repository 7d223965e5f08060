//! In the place of Docker Desktop.

use std::fs;

use test_support::free_port;

use crate::cove::{Cove, fetch, has_base, until};

pub(crate) fn docker_sees_the_host_s_files(cove: &Cove) {
    has_base(cove);
    let folder = cove.project("bind", &[("seen", "by docker\n")]);
    let path = folder.to_str().unwrap();
    let mount = format!("{path}:{path}");
    let said = cove.docker(&[
        "run",
        "--rm",
        "-v",
        &mount,
        "-w",
        path,
        "cove/base:trixie",
        "sh",
        "-c",
        "ls; cat seen; echo back > back",
    ]);
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(said.out, "seen\nby docker\n");
    assert_eq!(fs::read_to_string(folder.join("back")).unwrap(), "back\n");
}

pub(crate) fn published_ports_answer_on_the_host(cove: &Cove) {
    has_base(cove);
    let port = free_port();
    let publish = format!("{port}:8080");
    let serve = "while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nfrom inside\\n' | perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(Listen=>1,LocalPort=>8080,ReuseAddr=>1); $c=$s->accept; print $c <STDIN>; close $c'; done";
    let said = cove.docker(&[
        "run",
        "-d",
        "--name",
        "published",
        "-p",
        &publish,
        "cove/base:trixie",
        "sh",
        "-c",
        serve,
    ]);
    assert_eq!(said.status, 0, "{said:?}");
    until("the published port answers", || fetch(port).is_ok_and(|answer| answer.contains("from inside")));
    assert_eq!(cove.docker(&["rm", "-f", "published"]).status, 0);
    until("the port is free again", || std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
}

pub(crate) fn containers_find_the_host(cove: &Cove) {
    has_base(cove);
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.0 200 OK\r\n\r\nfrom the host").unwrap();
    });
    let url = format!("http://host.docker.internal:{port}/");
    let said = cove.docker(&["run", "--rm", "cove/base:trixie", "curl", "-sS", "--max-time", "60", &url]);
    assert_eq!(said.out, "from the host", "{said:?}");
    host.join().unwrap();
}

pub(crate) fn the_docker_context_comes_and_goes(cove: &Cove) {
    let config = cove.home().join("docker-config");
    fs::create_dir_all(&config).unwrap();
    let run = |arguments: &[&str]| {
        let status = cove.command(arguments).env("DOCKER_CONFIG", &config).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    let docker = |arguments: &[&str]| {
        let mut command = std::process::Command::new("docker");
        crate::cove::Said::from(command.args(arguments).env("DOCKER_CONFIG", &config).output().unwrap())
    };
    run(&["docker", "context"]);
    let said = docker(&["--context", "cove", "info", "--format", "{{.OSType}}"]);
    assert_eq!(said.out.trim(), "linux", "{said:?}");
    run(&["docker", "context", "--remove"]);
    assert!(!docker(&["context", "ls", "--format", "{{.Name}}"]).out.contains("cove"));
}
