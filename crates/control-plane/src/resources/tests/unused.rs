//! What nobody used for as long as a policy says.

use super::*;
use crate::store::Listing;
use crate::sync::Fleet;

impl World {
    async fn reports(&self, kind: Kind, called: &str, at: Timestamp, status: Value) {
        let called = name(called);
        self.write(move |t| report(t, at, kind, &name("acme"), &called, status)).await.unwrap();
    }
}

#[tokio::test]
async fn what_nobody_used_for_long_goes_if_all_of_it_is_saved_and_its_runner_is_there() {
    const DAY: i64 = 86_400;
    let at = |days: i64, seconds: i64| Timestamp::from_second(days * DAY + seconds).unwrap();
    let world = World::new().await;
    world.apply(draft(Kind::Policy, "weekly", json!({ "delete_after": 7 * DAY }))).await.unwrap();
    let found = |now| world.database.read(move |t| unused(t, now));
    let is_used = |days, unsaved: Value| json!({ "phase": "stopped", "runner": "big", "used_at": at(days, 0).to_string(), "unsaved": unsaved });
    let runner = |phase: &str, days| json!({ "phase": phase, "last_heard_at": at(days, 0).to_string() });

    world.reports(Kind::Environment, "shop-1", at(1, 0), is_used(1, json!(0))).await;
    assert_eq!(found(at(9, 0)).await.unwrap(), [], "its runner was never there");
    world.reports(Kind::Runner, "big", at(9, 0), runner("active", 9)).await;
    assert_eq!(
        found(at(9, 60)).await.unwrap(),
        [],
        "its runner came just now, and may yet say that it was used"
    );
    assert_eq!(found(at(8, -1)).await.unwrap(), [], "it is too soon");
    assert_eq!(found(at(9, 300)).await.unwrap().len(), 1);
    for (days, unsaved) in [(1, json!(1)), (1, Value::Null), (3, json!(0))] {
        let said = format!("used on day {days}, {unsaved} unsaved");
        world.reports(Kind::Environment, "shop-1", at(9, 0), is_used(days, unsaved)).await;
        assert_eq!(found(at(9, 300)).await.unwrap(), [], "{said}");
    }
    world.reports(Kind::Environment, "shop-1", at(9, 0), is_used(1, json!(0))).await;
    world.reports(Kind::Runner, "big", at(9, 0), runner("away", 9)).await;
    assert_eq!(found(at(10, 0)).await.unwrap(), [], "its runner is away");
    world.reports(Kind::Runner, "big", at(9, 0), runner("active", 9)).await;

    let fleet = Fleet::start(&world.database).await.unwrap();
    let sweep = || {
        let fleet = fleet.clone();
        world.write(move |t| fleet.delete_unused(t, at(10, 0)))
    };
    assert_eq!(sweep().await.unwrap(), 1);
    let before = world.version().await;
    assert_eq!((sweep().await.unwrap(), world.version().await), (0, before), "once is enough");
    let (environments, lines) = world
        .database
        .read(|t| -> Result<_, StoreError> {
            Ok((t.resources(&Listing::of(Kind::Environment, &name("acme")))?, t.audit(None, 0, 9)?))
        })
        .await
        .unwrap();
    assert_eq!(environments, [], "no runner ever had it, so none has anything to remove");
    let (_, line) = lines.last().unwrap();
    assert!(line.contains(r#""kind":"server""#) && line.contains("policy weekly"), "{line}");
}
