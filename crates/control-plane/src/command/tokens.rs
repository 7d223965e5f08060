//! `cove-control token`, `whoami`: what people have beside resources.

use api::control::{Me, PersonalToken, PersonalTokenRequest, TokenMade, TokenScope};
use api::{Problem, ProblemCode};
use axum::http::Method;
use jiff::{SignedDuration, Timestamp};

use super::arguments::{OutputForm, TokenCommand};
use super::call::Remote;
use super::resources::{kind_of, name_of, say, verb_of};
use super::shown;

pub(super) async fn token(remote: &Remote, command: TokenCommand) -> Result<(), Problem> {
    match command {
        TokenCommand::Create { title, verbs, kinds, lifetime, user } => {
            let verbs = verbs.iter().map(|verb| verb_of(verb)).collect::<Result<_, _>>()?;
            let kinds = kinds.iter().map(|kind| kind_of(kind)).collect::<Result<_, _>>()?;
            let scope = TokenScope { verbs, kinds };
            let asked = PersonalTokenRequest { title, scope, lifetime: lifetime.as_secs() };
            create(remote, &asked, user.as_deref()).await
        }
        TokenCommand::Ls { output } => list(remote, output).await,
        TokenCommand::Revoke { id } => {
            remote.ask(Method::DELETE, &format!("/v1/tokens/{}", id_of(&id)?)).await?;
            say(&format!("Token {id} counts no more.\n"))
        }
    }
}

async fn create(remote: &Remote, asked: &PersonalTokenRequest, user: Option<&str>) -> Result<(), Problem> {
    let path = match user {
        None => "/v1/tokens".to_owned(),
        Some(user) => {
            format!("/v1/organizations/{}/users/{}/tokens", remote.organization().await?, name_of(user)?)
        }
    };
    let TokenMade { token, about } = remote.post(&path, asked).await?;
    // Alone on standard output, for whoever puts it into a file.
    say(&format!("{token}\n"))?;
    shown::aside(&format!(
        "Token {} of {}, until {}. It is not shown again.",
        about.id,
        about.user,
        day(about.expires_at)
    ));
    Ok(())
}

async fn list(remote: &Remote, output: OutputForm) -> Result<(), Problem> {
    let found: Vec<PersonalToken> = remote.get("/v1/tokens").await?;
    if output == OutputForm::Json {
        let text = serde_json::to_string_pretty(&found);
        return say(&(text.map_err(|error| super::call::unexpected(&error))? + "\n"));
    }
    if found.is_empty() {
        return say("There are no tokens.\n");
    }
    let now = Timestamp::now();
    let rows = found.iter().map(|token| {
        let used = token.used_at.map_or_else(|| "never".to_owned(), day);
        let ends = shown::short(token.expires_at.duration_since(now).as_secs());
        [token.id.clone(), token.user.to_string(), token.title.clone(), scope(&token.scope), used, ends]
    });
    let head = ["ID", "USER", "TITLE", "SCOPE", "USED", "ENDS IN"].map(ToOwned::to_owned);
    say(&shown::rows_of(std::iter::once(head).chain(rows)))
}

/// Who the server takes whoever runs this for.
pub(super) async fn whoami(remote: &Remote) -> Result<(), Problem> {
    let me: Me = remote.get("/v1/me").await?;
    let at = remote.server()?.map(|server| format!(" at {}", server.address())).unwrap_or_default();
    let of = me.organization.map(|organization| format!(" of {organization}")).unwrap_or_default();
    let until = me.expires_at.map(|until| format!(", until {}", day(until))).unwrap_or_default();
    let mut lines = vec![format!("{}{of}{at}{until}", me.principal)];
    if let Some(limits) = &me.scope {
        lines.push(format!("  by a token for {}", scope(limits)));
    }
    lines.extend(me.permits.iter().map(|(kind, verbs)| format!("  {kind}: {}", words(verbs))));
    let text: Vec<_> = lines.iter().map(|line| shown::harmless(line)).collect();
    say(&(text.join("\n") + "\n"))
}

/// A length of time as people write it: `90s`, `15m`, `12h`, `30d`.
pub(super) fn lifetime(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is no length of time such as 12h or 30d");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).and_then(|seconds| i64::try_from(seconds).ok());
    Ok(SignedDuration::from_secs(seconds.ok_or_else(wrong)?).unsigned_abs())
}

fn scope(scope: &TokenScope) -> String {
    let TokenScope { verbs, kinds } = scope;
    match (verbs.is_empty(), kinds.is_empty()) {
        (true, true) => "everything".to_owned(),
        (true, false) => words(kinds),
        (false, true) => words(verbs),
        (false, false) => format!("{} of {}", words(verbs), words(kinds)),
    }
}

fn words<T: std::fmt::Display>(things: &[T]) -> String {
    things.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// An id as it can be in an address.
fn id_of(text: &str) -> Result<&str, Problem> {
    let is_id = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let title = || format!("`{text}` is no id of a token");
    let wrong = || Problem::new(ProblemCode::InvalidRequest, title());
    if is_id {
        return Ok(text);
    }
    Err(wrong().with_command("those that there are", "cove-control token ls"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_its_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(lifetime(text).map(|time| time.as_secs()), Ok(seconds), "{text}");
        }
        for text in ["", "30", "d", "-1d", "1.5h", "1w", "99999999999999999999d", "213503982334602d"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
