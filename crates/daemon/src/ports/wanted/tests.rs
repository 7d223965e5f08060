use api::PortOrigin::Found;
use devcontainer::PortAttributes;
use engine::PublishedPort;
use serde_json::{Value, json};

use super::*;

fn known(id: &str, service: Option<&str>) -> Known {
    Known {
        id: id.to_owned(),
        project: service.map(|_| "shop".to_owned()),
        service: service.map(str::to_owned),
        beside: None,
        ports: Vec::new(),
    }
}

fn listener(container: &str, port: u16, command: &str) -> Listener {
    Listener {
        protocol: "tcp".into(),
        address: "127.0.0.1".into(),
        port,
        network_of: Some(1),
        container: Some(container.into()),
        command: Some(command.into()),
    }
}

/// What a configuration makes of what is seen.
fn decide(
    config: Value,
    wishes: &[&str],
    containers: &[Known],
    listeners: &[Listener],
) -> (Vec<WantedPort>, Vec<Problem>) {
    let forward = config.get("forwardPorts").cloned().unwrap_or(json!([]));
    let keyed = config["portsAttributes"].as_object().cloned().unwrap_or_default();
    let attributes = |value: Value| serde_json::from_value(value).unwrap();
    let keyed: Vec<(String, PortAttributes)> =
        keyed.into_iter().map(|(key, value)| (key, attributes(value))).collect();
    let others = config.get("otherPortsAttributes").map(|value| attributes(value.clone()));
    let of = EnvironmentPorts {
        main: "main".into(),
        project: Some("shop".into()),
        forward: serde_json::from_value(forward).unwrap(),
        rules: PortRules::new(&keyed, others.as_ref()),
    };
    let wishes: Vec<PortWish> = wishes.iter().map(|text| text.parse().unwrap()).collect();
    ports(&of, &wishes, &Seen { containers, listeners })
}

/// Ports as lines: what is inside, why it is there, and whether somebody listens.
fn lines(ports: &[WantedPort]) -> Vec<String> {
    let line = |port: &WantedPort| {
        let status = port.status(None);
        let listens = if status.listening { " listens" } else { "" };
        format!("{} {:?} in {}{listens}", status.inside(), status.origin, port.container)
    };
    ports.iter().map(line).collect()
}

#[test]
fn what_is_named_is_there_at_once_and_what_listens_comes_beside_it() {
    let containers = [known("main", Some("app")), known("db1", Some("db")), known("other", None)];
    let listeners = [
        listener("main", 3000, "node server.js"),
        listener("main", 9229, "node server.js"),
        listener("db1", 5432, "postgres"),
        listener("other", 80, "nginx"),
    ];
    let config = json!({ "forwardPorts": [3000, "db:5432", "app:8080", "cache:6379"] });
    let (wanted, problems) = decide(config, &["5353/udp", "8081=8080"], &containers, &listeners);
    assert_eq!(
        lines(&wanted),
        [
            "5353/udp Asked in main",
            "8080 Asked in main",
            "3000 Configured in main listens",
            "db:5432 Configured in db1 listens",
            "9229 Found in main listens",
        ]
    );
    assert_eq!(wanted[1].host_port, 8081, "a person's wish comes before the configuration");
    assert_eq!(wanted[2].listener, Some(Program { name: Some("node".into()) }));
    assert_eq!(problems.iter().map(|it| it.code).collect::<Vec<_>>(), [ProblemCode::ServiceUnknown]);
}

#[test]
fn attributes_decide_what_becomes_of_a_found_port() {
    let containers = [known("main", None)];
    let listeners = [
        listener("main", 3000, "/usr/bin/node --secret=x vite"),
        listener("main", 4000, "ruby x"),
        listener("main", 4001, "ruby x"),
        listener("main", 80, "nginx: master process"),
    ];
    let config = json!({
        "portsAttributes": {
            "vite": { "label": "Site", "onAutoForward": "openBrowserOnce", "protocol": "https" },
            "4000-4999": { "onAutoForward": "ignore" },
            "4001": { "onAutoForward": "silent" },
            "80": { "requireLocalPort": true, "elevateIfNeeded": true },
            "(?=x)": { "label": "never" },
        },
    });
    let (wanted, problems) = decide(config, &[], &containers, &listeners);
    assert_eq!(
        lines(&wanted),
        ["80 Found in main listens", "3000 Found in main listens", "4001 Found in main listens"]
    );
    assert!(wanted[0].require_local && wanted[0].elevate);
    assert_eq!(wanted[0].listener, Some(Program { name: Some("nginx".into()) }));
    assert_eq!(
        (wanted[1].label.as_deref(), wanted[1].on_listen, wanted[1].protocol),
        (Some("Site"), PortAction::OpenBrowserOnce, PortProtocol::Https)
    );
    assert_eq!(wanted[1].listener, Some(Program { name: Some("node".into()) }), "no secrets");
    assert_eq!(wanted[2].on_listen, PortAction::Silent);
    assert_eq!(problems[0].code, ProblemCode::PortKeyRefused);
    assert!(problems[0].title.contains("`(?=x)`"), "{}", problems[0].title);

    let off = json!({ "forwardPorts": [4000], "otherPortsAttributes": { "onAutoForward": "ignore" } });
    let (wanted, _) = decide(off, &[], &containers, &listeners);
    assert_eq!(lines(&wanted), ["4000 Configured in main listens"], "what is named is not ignored");
}

#[test]
fn a_published_port_is_not_forwarded_a_second_time() {
    let published = PublishedPort {
        container: "main".into(),
        host_address: "0.0.0.0".into(),
        host_port: 8080,
        container_port: 80,
        protocol: "tcp".into(),
    };
    let containers = [Known { ports: vec![published], ..known("main", None) }];
    let listeners = [listener("main", 80, "nginx"), listener("main", 81, "nginx")];
    let (wanted, _) = decide(json!({}), &[], &containers, &listeners);
    assert_eq!(lines(&wanted), ["81 Found in main listens"]);
    let (wanted, _) = decide(json!({ "forwardPorts": [80] }), &[], &containers, &listeners);
    assert_eq!(lines(&wanted), ["80 Configured in main listens", "81 Found in main listens"]);
}

#[test]
fn of_a_scaled_service_one_that_listens_is_meant() {
    let containers = [known("main", Some("app")), known("w1", Some("web")), known("w2", Some("web"))];
    let config = json!({ "forwardPorts": ["web:80"] });
    let (wanted, _) = decide(config.clone(), &[], &containers, &[listener("w2", 80, "nginx")]);
    assert_eq!(lines(&wanted), ["web:80 Configured in w2 listens"]);
    assert_eq!(lines(&decide(config, &[], &containers, &[]).0), ["web:80 Configured in w1"]);
}

#[test]
fn a_container_cannot_take_all_descriptors_of_this_computer() {
    let listeners: Vec<Listener> = (1..=2000).map(|port| listener("main", port, "x")).collect();
    let (wanted, _) = decide(json!({}), &[], &[known("main", None)], &listeners);
    assert_eq!(wanted.len(), MOST_FOUND);
    assert!(wanted.iter().all(|port| port.origin == Found));
}

#[test]
fn what_listens_beside_the_main_container_is_reached_as_the_main_one() {
    let beside = |id: &str, main: &str| Known { beside: Some(main.to_owned()), ..known(id, None) };
    let containers = [beside("s1", "main"), known("main", None), beside("s2", "other")];
    let listeners = [listener("s1", 5432, "postgres"), listener("s2", 6379, "redis-server")];
    let (wanted, problems) = decide(json!({ "forwardPorts": [8080] }), &[], &containers, &listeners);
    assert_eq!(lines(&wanted), ["8080 Configured in main", "5432 Found in main listens"]);
    assert!(problems.is_empty(), "{problems:?}");
}
