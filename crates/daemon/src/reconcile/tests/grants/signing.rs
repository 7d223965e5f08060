use super::*;

/// git in the container, with its repository in the shared folder so that it can be looked at from here.
struct Repository<'a> {
    story: &'a Story,
    folder: String,
    id: String,
}

impl<'a> Repository<'a> {
    fn new(story: &'a Story) -> Self {
        portable("/usr/bin/git", story.place.folder.join("git"));
        let container = story.web.status.container.as_ref().unwrap();
        let made = Self { story, folder: container.workspace_folder.clone(), id: container.id.clone() };
        made.run("git init -q /tmp/signed");
        made
    }

    fn run(&self, line: &str) -> String {
        let line = format!("export HOME=/home/vscode PATH={}/git:$PATH; {line}", self.folder);
        self.story.place.docker(&["exec", "-u", "vscode", &self.id, "sh", "-c", &line])
    }

    /// Makes a commit, and says whether that succeeded.
    fn commit(&self, options: &str) -> bool {
        let line =
            format!("cd /tmp/signed; git commit -q --allow-empty -m x {options} 2>&1 && echo done; true");
        self.run(&line).trim().ends_with("done")
    }

    /// Whether the last commit has a signature that the person here knows to be good.
    fn is_good(&self) -> bool {
        // git cannot work in a folder that is reached by way of another process.
        let copy = self.story.person.home.join("copy");
        let _ = fs_err::remove_dir_all(&copy);
        self.story.person.run(&["cp", "-r", self.story.inside("/tmp/signed").as_str(), copy.as_str()]);
        let mut command = self.story.person.command("git");
        command.args(["-C", copy.as_str(), "verify-commit", "HEAD"]).output().unwrap().status.success()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_are_signed_by_the_persons_own_keys() {
    let Some(story) = Story::begin("").await else { return };
    let person = &story.person;
    let repository = Repository::new(&story);
    assert!(repository.commit("") && !repository.is_good(), "no signature without a grant");
    assert!(!repository.commit("-S"));

    // By ssh. The key never leaves the person's file.
    let key = person.home.join("signer");
    person.run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key.as_str()]);
    let public = fs_err::read_to_string(person.home.join("signer.pub")).unwrap();
    let allowed = person.home.join("allowed");
    fs_err::write(&allowed, format!("ada@example.com {public}")).unwrap();
    for (name, value) in [
        ("gpg.format", "ssh"),
        ("user.signingKey", key.as_str()),
        ("commit.gpgSign", "true"),
        ("gpg.ssh.allowedSignersFile", allowed.as_str()),
    ] {
        person.run(&["git", "config", "--global", name, value]);
    }
    story.grant(GrantKind::Signing, None).await;
    assert!(
        repository.commit("") && repository.is_good(),
        "signed, as the person has it: {:#?}",
        story.audit().await
    );

    // Only what git makes is signed.
    let other = "echo I owe Eve > /tmp/debt; /dev/cove/named/cove-sign-ssh -Y sign -n git -f x /tmp/debt; ls /tmp/debt.sig; true";
    assert!(!repository.run(other).contains("debt.sig"));
    story.revoke();
    assert!(!repository.commit("-S"));
    story.settle().await;
    assert!(repository.commit("") && !repository.is_good(), "it is not asked for any more");

    // By OpenPGP.
    let gnupg = person.home.join("gnupg");
    fs_err::create_dir(&gnupg).unwrap();
    fs_err::set_permissions(&gnupg, std::fs::Permissions::from_mode(0o700)).unwrap();
    person.run(&[
        "gpg",
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--quick-generate-key",
        "Ada <ada@example.com>",
        "ed25519",
        "sign",
        "never",
    ]);
    for (name, value) in [("gpg.format", "openpgp"), ("user.signingKey", "ada@example.com")] {
        person.run(&["git", "config", "--global", name, value]);
    }
    story.grant(GrantKind::Signing, None).await;
    let signed = repository.commit("") && repository.is_good();
    person.run(&["gpgconf", "--kill", "all"]);
    assert!(signed, "{:#?}", story.audit().await);

    let audit = story.audit().await;
    let count = |begin: &str| audit.iter().filter(|line| line.starts_with(begin)).count();
    assert_eq!(count("used signing : sign a commit"), 2, "{audit:#?}");
    assert_eq!(count("refused signing : sign something"), 1, "{audit:#?}");
    assert_eq!(count("refused signing : sign a commit: it is not granted"), 1, "{audit:#?}");
    story.end().await;
}
