use camino::Utf8Path;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn redactor(secrets: &[&str]) -> Redactor {
    Redactor::new(Known {
        secrets: Masks::new(secrets.iter().copied()),
        variables: vec!["sesame-street".to_owned(), "true".to_owned(), "123456789".to_owned()],
        homes: vec![Utf8Path::new("/home/ada")],
        user: Some("ada".to_owned()),
        host: Some("lovelace.example.org".to_owned()),
    })
}

#[test]
fn what_is_the_persons_goes_and_what_explains_stays() {
    let redactor = redactor(&["hunter2hunter2"]);
    let wrong = [
        // Secrets, however they are written.
        ("pass hunter2hunter2!", "pass <secret>!"),
        (r#"{"a":"aHVudGVyMmh1bnRlcjI="}"#, r#"{"a":"<secret>I="}"#),
        // Private keys.
        ("a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b", "a <private key> b"),
        ("a -----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb", "a <private key>"),
        ("AAAA\nBBBB==\n-----END EC PRIVATE KEY-----\nnext", "<private key>\nnext"),
        // Tokens by form, by key, by header.
        ("xghp_0123456789abcdef0123 y", "x<token> y"),
        ("disk-image-of-the-machine-1", "disk-image-of-the-machine-1"),
        ("Authorization: Basic dXNlcjpwYXNz\nHost: x", "Authorization: <token>\nHost: x"),
        ("a bearer abc.def-123", "a bearer <token>"),
        ("Cookie: a=b; c=d\nok", "Cookie: <token>\nok"),
        (r#""db_password": "my pass \" word", "x": 1"#, r#""db_password": "<token>", "x": 1"#),
        (r#"{\"token\": \"ab c\"}"#, r#"{\"token\": \"<token>\"}"#),
        (r#""token": null, "secret": true"#, r#""token": null, "secret": true"#),
        ("token=abc, secret: 'x y'", "token=<token>, secret: '<token>'"),
        ("login --password pw123 --quiet", "login --password <token> --quiet"),
        ("GET /x?sig=abc&y=1", "GET /x?sig=<token>&y=1"),
        // Addresses of people, networks and repositories.
        ("https://ada:pw@registry:5000/x", "https://<credential>@registry:5000/x"),
        // It might be a person's address: in doubt more goes.
        ("https://ada:pw@h.io/x", "https://<credential>/x"),
        ("postgres://u:p@ss@db:5432/app", "postgres://<credential>@db:5432/app"),
        ("to grace.hopper@navy.mil.", "to <e-mail>."),
        ("git@github.com:cove/cove.git", "git@github.com:cove/cove.git"),
        ("image@sha256:0011", "image@sha256:0011"),
        ("10.0.2.15:80 127.0.0.1 0.0.0.0 ::1 300.1.1.1", "<ip>:80 127.0.0.1 0.0.0.0 ::1 300.1.1.1"),
        ("[fe80::1%eth0]:22 via 2001:db8::7.", "[<ip>%eth0]:22 via <ip>."),
        ("at 07:12:03 daemon::machine std::fs::read", "at 07:12:03 daemon::machine std::fs::read"),
        // The person and this computer.
        ("/home/ada/.cove /home/adam /home/ada", "~/.cove /home/adam ~"),
        ("Ada on LOVELACE and lovelace.example.org, canada", "<user> on <host> and <host>, canada"),
        // Variables.
        ("API_URL=http://x y=1 open sesame-street", "API_URL=<value> y=1 open <value>"),
        (r#"exec A="b c" true 123456789"#, r#"exec A="<value>" true 123456789"#),
        ("level=info pid=7", "level=info pid=7"),
    ]
    .into_iter()
    .filter(|(text, expected)| redactor.apply(text).text != *expected)
    .map(|(text, expected)| format!("{text:?} became {:?}, not {expected:?}", redactor.apply(text).text));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_overlaps_goes_as_one_and_is_counted_as_the_gravest() {
    let redacted = redactor(&["ada@lovelace"]).apply("see https://ada@lovelace.example.org/home/ada");
    assert_eq!(redacted.text, "see https://<secret>~");
    assert_eq!(redacted.removed, [(RemovedKind::Secret, 1), (RemovedKind::HomeFolder, 1)].into());
}

#[test]
fn values_below_keys_of_variables_go_whatever_they_are() {
    let value = json!({
        "name": "web", "variables": {"A": "x", "B": ["y", {"c": "z"}], "D": 3}, "nested": [{"env": {"E": "on"}}],
    });
    let redacted = redactor(&[]).json(value);
    let back: Value = serde_json::from_str(&redacted.text).unwrap();
    let mark = "<value>";
    let expected = json!({
        "name": "web", "variables": {"A": mark, "B": [mark, {"c": mark}], "D": 3}, "nested": [{"env": {"E": mark}}],
    });
    assert_eq!((back, redacted.removed), (expected, [(RemovedKind::Variable, 4)].into()));
}

#[test]
fn the_end_of_a_text_begins_with_a_line_and_after_what_was_cut() {
    let redactor = redactor(&["FIRSTLINE\nSECONDLINE\nTHIRDLINE"]);
    let text = "one\nFIRSTLINE\nSECONDLINE\nTHIRDLINE\ntwo\nthree\n";
    let mut ends: Vec<String> = (0..=text.len()).map(|keep| redactor.end_of(text, keep).text).collect();
    ends.dedup();
    // Cut within the secret: nothing of it comes, and the line after it is whole.
    assert_eq!(
        ends,
        ["", "three\n", "two\nthree\n", "<secret>\ntwo\nthree\n", "one\n<secret>\ntwo\nthree\n"]
    );
}

#[test]
fn names_that_every_computer_has_stay() {
    let redactor = Redactor::new(Known {
        homes: vec![Utf8Path::new("/root"), Utf8Path::new("/")],
        user: Some("root".to_owned()),
        host: Some("localhost".to_owned()),
        ..Known::default()
    });
    assert_eq!(
        redactor.apply("root on localhost: /root/x /etc root.erofs").text,
        "root on localhost: ~/x /etc root.erofs"
    );
}

/// Surroundings without what secrets are made of here, so that nothing of one can be there by chance.
fn around() -> impl Strategy<Value = String> {
    r#"[a-z .,:;=@/"'\\{}()<>\n-]{0,60}"#
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_planted_secret_never_comes_out(
        secret in "[A-Z0-9]{6,24}(\n[A-Z0-9]{6,24}){0,2}",
        parts in prop::collection::vec(around(), 2..5),
        keep in 0usize..400,
    ) {
        let redactor = redactor(&[&secret]);
        let text = parts.join(&secret);
        let is_of_it = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit();
        for redacted in [redactor.apply(&text), redactor.end_of(&text, keep)] {
            prop_assert!(!redacted.text.contains(is_of_it), "{text:?} became {:?}", redacted.text);
        }
        // As JSON writes it, and in base64.
        let json = redactor.json(json!({ "log": text })).text;
        prop_assert!(!json.contains(is_of_it), "{json}");
    }

    #[test]
    fn tokens_keys_and_addresses_never_come_out(
        before in around(), after in around(), body in "[A-Z0-9]{20,40}", keep in 0usize..300,
    ) {
        let redactor = redactor(&[]);
        for planted in [
            format!("ghp_{body}"),
            format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"),
            format!("https://user:{body}@host/"),
            format!("\npassword: {body} "),
            format!("\nAuthorization: Bearer {body}\n"),
        ] {
            let text = format!("{before}{planted}{after}");
            for redacted in [redactor.apply(&text), redactor.end_of(&text, keep)] {
                prop_assert!(!redacted.text.contains(&body), "{text:?} became {:?}", redacted.text);
            }
        }
    }

    #[test]
    fn any_text_can_be_redacted_and_cut_anywhere(text in any::<String>(), keep in 0usize..200) {
        let redactor = redactor(&["süß-geheim"]);
        let _ = redactor.apply(&text);
        let end = redactor.end_of(&text, keep);
        prop_assert!(!end.text.contains("süß-geheim"));
    }
}
