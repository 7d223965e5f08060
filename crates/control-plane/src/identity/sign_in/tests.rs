use camino::Utf8Path;
use serde_json::json;

use super::*;
use crate::store::Database;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn claimed(subject: &str, email: Option<&str>) -> Claimed {
    let (issuer, email) = ("https://id.example".to_owned(), email.map(ToOwned::to_owned));
    Claimed { issuer, subject: subject.to_owned(), email, title: None }
}

struct Place {
    _folder: tempfile::TempDir,
    database: Database,
}

impl Place {
    /// Two organizations; each of these is a user of one.
    async fn new(users: &[(&str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("control.db");
        let place = Self { _folder: folder, database: Database::sqlite(&path).unwrap() };
        for (organization, domains) in [("acme", json!(["acme.example"])), ("other", json!([]))] {
            let spec = json!({ "title": "T", "domains": domains });
            place.apply(Kind::Organization, organization, organization, spec).await;
        }
        for (organization, user, email) in users {
            place.apply(Kind::User, organization, user, json!({ "email": email })).await;
        }
        place
    }

    async fn apply(&self, kind: Kind, organization: &str, called: &str, spec: Value) {
        let (organization, metadata) = (
            name(organization),
            DraftMetadata {
                name: name(called),
                organization: None,
                labels: [].into(),
                resource_version: None,
            },
        );
        let draft = Draft { kind, metadata, spec };
        let applied = self.database.write(move |t| resources::apply(t, NOW, &organization, draft).map(drop));
        applied.await.unwrap();
    }

    async fn sign_in(&self, who: Claimed, organization: Option<&str>) -> Result<String, SignInError> {
        let organization = organization.map(name);
        let signed = self.database.write(move |t| sign_in(t, NOW, &who, organization.as_ref(), "test"));
        signed.await.map(|person| format!("{}/{}", person.organization, person.name))
    }
}

#[tokio::test]
async fn somebody_is_found_by_their_address_once_and_by_who_they_are_from_then_on() {
    let place = Place::new(&[("acme", "ann", "Ann@Example.com")]).await;
    assert_eq!(place.sign_in(claimed("1", Some("ann@example.COM")), None).await.unwrap(), "acme/ann");
    // Their address changed at the provider, or is not verified any more.
    for email in [Some("ann@new.example"), None] {
        assert_eq!(place.sign_in(claimed("1", email), None).await.unwrap(), "acme/ann");
    }
    // Somebody else has it now.
    let taken = place.sign_in(claimed("2", Some("ann@example.com")), None).await;
    assert!(matches!(taken, Err(SignInError::AnotherPerson { .. })), "{taken:?}");
    let unverified = place.sign_in(claimed("3", None), None).await;
    assert!(matches!(unverified, Err(SignInError::Unverified(_))), "{unverified:?}");
    // And the same subject of another provider is somebody else.
    let elsewhere = Claimed { issuer: "https://evil.example".to_owned(), ..claimed("1", None) };
    assert!(place.sign_in(elsewhere, None).await.is_err());
    place.apply(Kind::User, "acme", "ann", json!({ "email": "ann@example.com", "suspended": true })).await;
    let suspended = place.sign_in(claimed("1", None), None).await;
    assert!(matches!(suspended, Err(SignInError::Suspended(_))), "{suspended:?}");
}

#[tokio::test]
async fn who_is_in_several_organizations_names_one() {
    let users = [("acme", "ann", "ann@example.com"), ("other", "annie", "ann@example.com")];
    let place = Place::new(&users).await;
    let who = || claimed("1", Some("ann@example.com"));
    let several = place.sign_in(who(), None).await;
    let Err(SignInError::Several { organizations, .. }) = several else { panic!("{several:?}") };
    assert_eq!(organizations, [name("acme"), name("other")]);
    assert_eq!(place.sign_in(who(), Some("other")).await.unwrap(), "other/annie");
    assert_eq!(place.sign_in(who(), Some("acme")).await.unwrap(), "acme/ann");
    assert!(place.sign_in(who(), Some("third")).await.is_err());
}

#[tokio::test]
async fn an_unknown_person_becomes_a_member_only_by_a_listed_domain() {
    let place = Place::new(&[("acme", "bob", "bob@example.com")]).await;
    let member = place.sign_in(claimed("1", Some("bob@ACME.example")), None).await.unwrap();
    assert_eq!(member, "acme/bob-2", "a name that is taken is not");
    assert_eq!(place.sign_in(claimed("1", None), None).await.unwrap(), member);
    for email in ["eve@example.com", "eve@sub.acme.example", "eve@evil-acme.example", "acme.example", "eve@"]
    {
        let unknown = place.sign_in(claimed("2", Some(email)), None).await;
        assert!(matches!(unknown, Err(SignInError::Unknown(_))), "{email}: {unknown:?}");
    }
    let elsewhere = place.sign_in(claimed("2", Some("eve@acme.example")), Some("other")).await;
    assert!(matches!(elsewhere, Err(SignInError::Unknown(_))), "{elsewhere:?}");
    let may = place.database.read(|t| crate::authz::Worlds::default().for_read(t, &name("acme"))).await;
    let asker = crate::authz::Asker::User { organization: name("acme"), name: name("bob-2"), scope: None };
    assert!(
        may.unwrap().permits(&asker).is_empty(),
        "whoever comes in so may nothing until a role lets them"
    );
}
