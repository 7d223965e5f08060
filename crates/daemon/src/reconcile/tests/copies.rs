//! What others make of the container of an environment.

use api::DesiredPhase;

use super::*;

#[tokio::test]
async fn a_copy_of_a_container_is_not_taken_for_it() {
    let Some(mut place) = Place::start("web") else { return };
    place.write(&[(".devcontainer.json", &format!(r#"{{"image": "{BASE_IMAGE}"}}"#))]);
    let web = place.up(&place.request()).await;
    let id = web.status.container.as_ref().unwrap().id.clone();
    place.docker(&["commit", &id, "copied"]);
    let copy = place.docker(&["run", "--detach", "--name", "copy", "--entrypoint", "sleep", "copied", "600"]);

    // Neither by this daemon and the next one, nor where the container itself is gone.
    let name = |environment: &Environment| environment.status.container.as_ref().unwrap().name.clone();
    assert_eq!(name(&place.up(&place.request()).await), "cove-web");
    place.restart().await;
    assert_eq!(name(&place.up(&place.request()).await), "cove-web");
    place.docker(&["rm", "--force", &id]);
    let anew = place.up(&place.request()).await;
    assert_eq!((name(&anew).as_str(), &anew.status.problem), ("cove-web", &None));
    assert_ne!(anew.status.container.as_ref().unwrap().id, id);

    // Nor is it removed with it.
    place
        .fixture
        .store
        .change_spec(&web.id, None, |spec| spec.desired_phase = DesiredPhase::Deleted)
        .unwrap();
    place.reconciler.wake(&web.id);
    let gone = async {
        while place.fixture.store.environment(&web.id).unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it is gone");
    let left = place.docker(&["ps", "--all", "--quiet", "--no-trunc"]);
    assert_eq!(left.trim(), copy.trim());
    place.end().await;
}
