use super::*;

fn environment(files: &[&str]) -> Environment {
    serde_json::from_value(serde_json::json!({
        "id": "aa11",
        "metadata": {
            "name": "web", "created_at": "2026-01-01T00:00:00Z", "generation": 1, "resource_version": 1
        },
        "spec": {
            "desired_phase": "running", "source": {"type": "folder", "path": "/srv/web"}, "machine": "default"
        },
        "status": { "secrets": { "files": files } },
    }))
    .unwrap()
}

#[test]
fn what_could_not_be_taken_away_is_remembered_and_tried_again() {
    let run = || Some("run".to_owned());
    let given = Given::default();
    for failed in ["/tmp/gone", ""] {
        let before = environment(&["/tmp/gone"]);
        let first = look(&before, &given, run(), None);
        let (wanted, order) = first.order.unwrap();
        assert_eq!(order.gone, ["/tmp/gone"]);

        let failed = BTreeMap::from([(failed.to_owned(), "no".to_owned())]);
        let mut placed = Placed::new(wanted.clone(), failed);
        let after = look(&before, &given, run(), Some(&placed));
        assert!(after.order.is_none() && after.due.is_none(), "not at once");
        assert_eq!(after.status.files, ["/tmp/gone"]);
        assert_eq!(after.warnings.len(), 1);
        placed.at -= AGAIN;
        let again = look(&before, &given, run(), Some(&placed));
        assert_eq!(again.order.unwrap().1.gone, ["/tmp/gone"]);
        // A daemon that comes next knows of it, too.
        assert_eq!(look(&before, &given, run(), None).order.unwrap().1.gone, ["/tmp/gone"]);

        let done = Placed::new(wanted, BTreeMap::new());
        let after = look(&before, &given, run(), Some(&done));
        assert!(after.order.is_none() && after.status.files.is_empty() && after.warnings.is_empty());
    }
}
