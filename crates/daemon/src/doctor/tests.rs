use api::CheckOutcome;
use camino::Utf8Path;

use super::{host, machine, network};

#[test]
fn little_space_is_told_before_nothing_works() {
    let at = |free| host::space("state folder", Utf8Path::new("/h"), free).outcome;
    assert_eq!([at(200), at(5), at(0)], [CheckOutcome::Good, CheckOutcome::Warning, CheckOutcome::Bad]);
}

#[test]
fn an_older_machine_is_told_with_the_way_out() {
    assert_eq!(machine::compare("1.2.0", None, None).outcome, CheckOutcome::Good);
    let check = machine::compare("1.2.0", Some("1.2.0"), Some("1.1.0"));
    assert_eq!(check.outcome, CheckOutcome::Warning);
    assert!(check.finding.contains("agent 1.1.0"), "{}", check.finding);
    assert_eq!(check.problem.unwrap().hints[0].command.as_deref(), Some("cove machine restart"));
}

#[test]
fn a_proxy_is_shown_without_its_password() {
    for (url, shown) in [
        ("http://me:s3cret@proxy.corp:3128/", "http://***@proxy.corp:3128/"),
        ("proxy.corp:3128", "proxy.corp:3128"),
        ("me:p@ss@proxy.corp", "***@proxy.corp"),
    ] {
        assert_eq!(network::without_password(url), shown);
    }
}

#[test]
fn a_context_that_leads_elsewhere_is_no_good() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temp.path()).unwrap();
    let socket = Utf8Path::new("/h/run/docker.sock");
    assert_eq!(network::context_in(folder, socket).outcome, CheckOutcome::Warning);
    // The digest of the name, as the docker command spells it.
    let digest = "6a259d3299684d8a1f5693be49dde21e5e22195158487a86c3d73d07c36a5cfc";
    let meta = folder.join("contexts/meta").join(digest);
    fs_err::create_dir_all(&meta).unwrap();
    let point_at = |host: &str| {
        let text = format!(r#"{{"Name":"cove","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
        fs_err::write(meta.join("meta.json"), text).unwrap();
        network::context_in(folder, socket).outcome
    };
    assert_eq!(point_at("unix:///h/run/docker.sock"), CheckOutcome::Good);
    assert_eq!(point_at("unix:///elsewhere.sock"), CheckOutcome::Warning);
}
