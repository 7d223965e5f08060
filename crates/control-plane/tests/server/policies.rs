//! Policies, as people meet them.

use crate::TEAM;
use crate::place::Place;

const POLICY: &str = "
kind: Policy
metadata: { name: short }
spec: { stop_after: 3600, ports: organization }
";

#[test]
fn what_a_policy_forbids_is_told_at_its_place_and_written_down() {
    let place = Place::new();
    let _server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    place.ok(&["apply", "-f", &place.file("policy.yaml", POLICY)]);
    assert_eq!(place.ok(&["diff", "-f", &place.path("team.yaml")]), "Nothing would change.\n");
    for (before, after, word) in [
        ("stop_after: 3600 }", "stop_after: 7200 }", "7200"),
        (
            "stop_after: 3600 }",
            "stop_after: 3600 }\n  ports:\n    - container_port: 80\n      admission: everybody",
            "everybody",
        ),
    ] {
        let text = TEAM.replace(before, after);
        let at = text.lines().zip(1..).find_map(|(line, number)| Some((number, line.find(word)? + 1)));
        let (line, column) = at.unwrap();
        let file = place.file("wrong.yaml", &text);
        for command in ["apply", "diff"] {
            let said = place.fails(&[command, "-f", &file]);
            let at = format!("wrong.yaml:{line}:{column}");
            assert!(said.contains("E0507") && said.contains(&at) && said.contains("policy short"), "{said}");
        }
    }
    let log = place.ok(&["audit", "export"]);
    let refused: Vec<_> = log.lines().filter(|line| line.contains(r#""because":["policy short"]"#)).collect();
    assert_eq!(refused.len(), 4, "{log}");
    assert!(refused.iter().all(|line| line.contains(r#""allowed":false"#) && line.contains("shop-ann")));
    // Whatever is left open is filled in, and shown.
    let open = TEAM.replace("  idle: { stop_after: 3600 }\n", "").replace("name: shop-ann", "name: shop-new");
    let said = place.ok(&["diff", "-f", &place.file("open.yaml", &open)]);
    assert!(said.contains("+ idle.stop_after: 3600"), "{said}");
}
