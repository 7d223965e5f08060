//! Against Debian's `docker-registry`.

use oci::{Action, Freshness, Limits, OciError, Options, Reference, Registry, Staleness};
use test_support::registry::{self, PASSWORD, USER};

use crate::support::{User, artifact};

fn reference(server: &registry::Registry, version: &str) -> Reference {
    format!("{}/team/features/go{version}", server.address()).parse().unwrap()
}

#[tokio::test]
async fn what_is_pushed_is_pulled_by_every_tag_and_by_digest() {
    let Some(server) = registry::Registry::start() else { return };
    let (user, artifact) = (User::new(), artifact("echo hello"));
    let registry = user.registry();
    let tags = ["1", "1.2", "1.2.3", "latest"].map(str::to_owned);
    let digest = registry.push(&reference(&server, ""), &artifact, &tags).await.unwrap();
    assert_eq!(registry.push(&reference(&server, ""), &artifact, &tags).await.unwrap(), digest);
    assert_eq!(registry.tags(&reference(&server, "")).await.unwrap(), tags);

    for version in [":1", ":1.2.3", "", &format!("@{digest}")] {
        let reader = User::new().registry();
        let reference = reference(&server, version);
        let manifest = reader.manifest(&reference).await.unwrap();
        assert_eq!((&manifest.digest, &manifest.freshness), (&digest, &Freshness::Current));
        assert_eq!(manifest.annotations, artifact.annotations);
        assert_eq!(manifest.config.media_type, "application/vnd.devcontainers");
        let layer = reader.blob(&reference, &manifest.layers[0]).await.unwrap();
        let files = oci::unpack(&layer, Limits::default()).unwrap();
        assert_eq!(files.values().next().unwrap().bytes, b"echo hello");
    }
}

#[tokio::test]
async fn what_is_missing_comes_with_what_is_near() {
    let Some(server) = registry::Registry::start() else { return };
    let registry = User::new().registry();
    let tags = ["1", "1.2.3", "latest"].map(str::to_owned);
    registry.push(&reference(&server, ""), &artifact("x"), &tags).await.unwrap();
    let error = registry.manifest(&reference(&server, ":1.2.4")).await.unwrap_err().to_string();
    assert!(error.contains("/go:1.2.4` does not exist; did you mean the tag `1.2.3`"), "{error}");
    let nowhere: Reference = format!("{}/nobody/nothing:1", server.address()).parse().unwrap();
    let error = registry.manifest(&nowhere).await.unwrap_err();
    assert!(matches!(&error, OciError::NotFound { near, .. } if near.is_empty()), "{error}");
    assert!(matches!(registry.tags(&nowhere).await, Err(OciError::NotFound { .. })));
}

#[tokio::test]
async fn a_closed_registry_opens_to_a_credential_helper() {
    let login = registry::Options { login: true, tls: false };
    let Some(server) = registry::Registry::start_with(login) else { return };
    let user = User::new();
    let stranger = user.registry();
    let error = stranger.push(&reference(&server, ":1"), &artifact("x"), &[]).await.unwrap_err();
    assert!(matches!(error, OciError::Unauthorized { action: Action::Push, .. }), "{error}");

    user.docker_config(&format!(r#"{{"credHelpers": {{"{}": "test"}}}}"#, server.address()));
    let error = stranger.manifest(&reference(&server, ":1")).await.unwrap_err().to_string();
    for told in
        ["asked anonymously", "`docker-credential-test` is not on the PATH", "`docker login 127.0.0.1:"]
    {
        assert!(error.contains(told), "expected `{told}`: {error}");
    }

    let script = format!(
        "#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = {} ] && echo '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n",
        server.address()
    );
    let helper = user.path().join("docker-credential-test");
    test_support::put_program(&helper, &script);
    // The same process: people log in while a daemon runs.
    stranger.push(&reference(&server, ":1"), &artifact("x"), &[]).await.unwrap();
    assert_eq!(stranger.tags(&reference(&server, "")).await.unwrap(), ["1"]);

    let other = User::new();
    other.docker_config(&server.docker_config());
    let manifest = other.registry().manifest(&reference(&server, ":1")).await.unwrap();
    other.registry().blob(&reference(&server, ":1"), &manifest.layers[0]).await.unwrap();

    let wrong = User::new();
    wrong.docker_config(&format!(
        r#"{{"auths": {{"{}": {{"username":"a","password":"SECRET"}}}}}}"#,
        server.address()
    ));
    let error = wrong.registry().manifest(&reference(&server, ":1")).await.unwrap_err().to_string();
    assert!(error.contains("asked with the credentials in `") && !error.contains("SECRET"), "{error}");
}

#[tokio::test]
async fn tls_is_trusted_where_its_authority_is() {
    let tls = registry::Options { login: false, tls: true };
    let Some(server) = registry::Registry::start_with(tls) else { return };
    let user = User::new();
    let error = user.registry().manifest(&reference(&server, ":1")).await.unwrap_err();
    assert!(matches!(&error, OciError::UntrustedCertificate { .. }), "{error:?}");
    assert!(error.to_string().contains("`COVE_EXTRA_CA_FILE`"), "{error}");

    let options = Options { extra_ca: server.authority().into_iter().collect(), ..user.options() };
    let trusting = Registry::new(options).unwrap();
    trusting.push(&reference(&server, ":1"), &artifact("x"), &[]).await.unwrap();
    let manifest = trusting.manifest(&reference(&server, ":1")).await.unwrap();
    assert!(!trusting.blob(&reference(&server, ":1"), &manifest.layers[0]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dead_registry_and_no_network_leave_what_was_fetched() {
    let Some(server) = registry::Registry::start() else { return };
    let (user, one, two) = (User::new(), reference(&server, ":1"), reference(&server, ":2"));
    let tags = ["1", "2"].map(str::to_owned);
    let digest = user.registry().push(&one, &artifact("x"), &tags).await.unwrap();
    assert!(matches!(user.offline().manifest(&one).await, Err(OciError::Offline { .. })));
    let manifest = user.registry().manifest(&one).await.unwrap();
    user.registry().blob(&one, &manifest.layers[0]).await.unwrap();
    let exact = one.with_digest(&digest).unwrap();
    drop(server);

    let lost = user.registry();
    let remembered = lost.manifest(&one).await.unwrap();
    assert_eq!(remembered.digest, digest);
    let Freshness::Remembered { because: Staleness::Unreachable(reason), .. } = remembered.freshness else {
        panic!("{:?}", remembered.freshness)
    };
    assert!(reason.contains("cannot be reached: Connection refused"), "{reason}");
    assert!(matches!(lost.manifest(&two).await, Err(OciError::Unreachable { .. })), "it was never fetched");
    for registry in [lost, user.offline()] {
        assert_eq!(registry.manifest(&exact).await.unwrap().freshness, Freshness::Current);
        registry.blob(&one, &manifest.layers[0]).await.unwrap();
    }
    let Freshness::Remembered { because, .. } = user.offline().manifest(&one).await.unwrap().freshness else {
        panic!("nobody was asked")
    };
    assert_eq!(because, Staleness::Offline);
}

#[tokio::test]
async fn a_damaged_store_is_healed_and_a_damaged_registry_is_found_out() {
    let Some(server) = registry::Registry::start() else { return };
    let (user, one) = (User::new(), reference(&server, ":1"));
    let registry = user.registry();
    let digest = registry.push(&one, &artifact("x"), &[]).await.unwrap();
    let manifest = registry.manifest(&one).await.unwrap();
    let layer = &manifest.layers[0];
    let whole = registry.blob(&one, layer).await.unwrap();

    for stored in [user.stored(&layer.digest), user.stored(&digest)] {
        fs_err::write(&stored, "damaged").unwrap();
    }
    assert!(matches!(user.offline().blob(&one, layer).await, Err(OciError::Offline { .. })));
    assert_eq!(registry.blob(&one, layer).await.unwrap(), whole);
    assert_eq!(fs_err::read(user.stored(&layer.digest)).unwrap(), whole, "the store is whole again");
    assert_eq!(registry.manifest(&one.with_digest(&digest).unwrap()).await.unwrap().digest, digest);

    // Of the same size, so that only the digest tells.
    let mut other = whole.clone();
    other[600] ^= 1;
    fs_err::write(server.blob_file(&layer.digest), other).unwrap();
    let stranger = User::new();
    let error = stranger.registry().blob(&one, layer).await.unwrap_err();
    assert!(
        matches!(&error, OciError::DigestMismatch { expected, .. } if *expected == layer.digest),
        "{error:?}"
    );
    assert!(!stranger.stored(&layer.digest).exists());

    let mut lying = layer.clone();
    lying.size -= 1;
    let error = registry.blob(&one, &lying).await.unwrap_err();
    assert!(matches!(error, OciError::Manifest { .. }), "{error:?}");
    lying.size = u64::MAX;
    assert!(matches!(registry.blob(&one, &lying).await, Err(OciError::TooLarge { .. })));
}
