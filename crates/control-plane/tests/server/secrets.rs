//! Secrets, from who knows the value to the runner that opens it.

use age::x25519::Identity;
use api::control::{Document, Enrolled, SecretSpec};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::client::Computer;
use crate::place::Place;
use crate::{TEAM, ok, problem};

const VALUE: &str = "correct-horse-battery-staple";

/// A computer that comes in as the team's runner, with this key.
async fn comes_in(place: &Place, port: u16, identity: &Identity) -> (Computer, Enrolled) {
    let (authority, token) = place.token("big-linux");
    let computer = Computer::new(port, &authority);
    let mut asked = computer.enrolment(&token);
    asked["recipient"] = identity.to_public().to_string().into();
    let enrolled = ok(computer.post("/v1/enrol", &asked, None).await);
    (computer, enrolled)
}

/// What a runner gets of the secret.
async fn sealed((computer, enrolled): &(Computer, Enrolled)) -> Vec<u8> {
    let got: Document = ok(computer.get("/v1/organizations/acme/secrets/api-key", Some(enrolled)).await);
    let spec: SecretSpec = serde_json::from_value(got.spec).unwrap();
    BASE64.decode(&spec.sealed[0].value).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_opened_by_its_runner_and_read_by_nobody_in_between() {
    let place = Place::new();
    let server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let set = ["secret", "set", "api-key", "--variable", "API_KEY", "--project", "shop"];
    let said = place.ok_given(&set, VALUE);
    assert!(said.contains("by no runner yet") && said.contains("as big-linux yet"), "{said}");

    let first = Identity::generate();
    let runner = comes_in(&place, server.port(), &first).await;
    let said = place.ok(&["secret", "ls"]);
    assert!(said.contains("big-linux cannot open api-key"), "{said}");
    assert!(said.contains("cove-control secret reseal api-key"), "{said}");
    // A variable has not the end of line that `echo` writes.
    assert!(place.ok_given(&set, format!("{VALUE}\n")).contains("by big-linux, and nobody else"));
    assert_eq!(age::decrypt(&first, &sealed(&runner).await).unwrap(), VALUE.as_bytes());
    assert!(!place.ok(&["secret", "ls"]).contains("cannot open"));

    let second = Identity::generate();
    let runner = comes_in(&place, server.port(), &second).await;
    assert!(place.ok(&["secret", "ls"]).contains("big-linux cannot open api-key"), "its key is another");
    place.ok_given(&["secret", "reseal", "api-key"], VALUE);
    let bytes = sealed(&runner).await;
    assert_eq!(age::decrypt(&second, &bytes).unwrap(), VALUE.as_bytes());
    assert!(age::decrypt(&first, &bytes).is_err());

    for (wrong, input, told) in [
        (&["secret", "set", "api-key", "--variable", "API_KEY", "--user", "ann"][..], VALUE, "never changes"),
        (&["secret", "set", "api-key", "--project", "shop"], VALUE, "--variable"),
        (&["secret", "set", "other", "--variable", "OTHER", "--project", "gone"], VALUE, "no Project `gone`"),
        (&["secret", "set", "other", "--variable", "OTHER", "--project", "shop"], "", "is empty"),
        (&["secret", "reseal", "gone"], VALUE, "no Secret `gone`"),
    ] {
        let said = place.fails_given(wrong, input);
        assert!(said.contains(told) && !said.contains(VALUE), "{wrong:?}: {said}");
    }
    let seen = [place.ok(&["audit", "export"]), place.ok(&["get", "secrets", "-o", "json"]), server.log()];
    for (index, text) in seen.iter().enumerate() {
        assert!(!text.contains(VALUE), "{index}");
    }
    let place_of_state = std::fs::read_dir(place.path("home")).unwrap().map(|entry| entry.unwrap().path());
    for file in place_of_state.filter(|path| path.is_file()) {
        let bytes = std::fs::read(&file).unwrap();
        for value in [VALUE.to_owned(), BASE64.encode(VALUE)] {
            let is_there = bytes.windows(value.len()).any(|window| window == value.as_bytes());
            assert!(!is_there, "{}", file.display());
        }
    }
    place.ok(&["delete", "secret", "api-key"]);
    let (computer, enrolled) = &runner;
    let gone = computer.get("/v1/organizations/acme/secrets/api-key", Some(enrolled)).await;
    assert_eq!(problem(&gone).0, StatusCode::FORBIDDEN, "of what is not there nobody is told");
}
