//! Gives a user of an image the numbers that the shared files have, by a thin image on top.
//!
//! Files of the host appear with one uid and gid in the machine. A user with other numbers could not write
//! them. The new accounts are computed here, so that the image needs neither `usermod` nor `sed`.

use std::collections::BTreeMap;

use crate::build::{BuildContext, BuildError, BuildSpec, ContextFiles, Dockerfile};
use crate::connect::Engine;
use crate::error::EngineError;
use crate::images::ImageInfo;
use crate::progress::Progress;
use crate::users::{Account, parse_group, parse_passwd};

/// What has to be done about a user's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserMove {
    /// The user has them already, is root, or is not in the image.
    NotNeeded,
    /// The image is to be built upon.
    Needed {
        /// The Dockerfile that does it.
        dockerfile: String,
        /// The accounts and groups as they are to be, which it copies.
        files: ContextFiles,
    },
}

/// Computes what to do so that `user` has this uid and gid. `passwd` and `group` are the image's files;
/// `image` is its name and `facts` what the engine says of it. A gid that is another group's is left alone.
///
/// The reference does so too, with two differences. Where another user of the image has the uid, both have it then,
/// and it goes by the name of the one who works there: the reference leaves such a user without access to the shared
/// files, which is of no use to anyone. And a `user` that is a number is moved if it has an account, so that an image
/// with `USER 1001` works like one with `USER node`.
pub fn plan_user_move(
    image: &str,
    facts: &ImageInfo,
    user: &str,
    (uid, gid): (u32, u32),
    passwd: &str,
    group: &str,
) -> UserMove {
    let name_or_uid = user.split(':').next().unwrap_or(user);
    let accounts = parse_passwd(passwd);
    let Some(account) = Account::find(&accounts, name_or_uid) else { return UserMove::NotNeeded };
    if account.uid == 0 || (account.uid == uid && account.gid == gid) {
        return UserMove::NotNeeded;
    }
    let groups = parse_group(group);
    let own_group = groups.iter().find(|(_, number)| *number == account.gid).map(|(name, _)| name.clone());
    let gid_is_free = groups.iter().all(|(_, number)| *number != gid);
    let new_gid = if gid_is_free && own_group.is_some() { gid } else { account.gid };
    if account.uid == uid && account.gid == new_gid {
        return UserMove::NotNeeded;
    }
    let passwd = with_field(passwd, &account.name, &[(2, uid), (3, new_gid)]);
    let passwd = before_others(&passwd, &account.name, uid);
    let group = match &own_group {
        Some(name) if new_gid != account.gid => with_field(group, name, &[(2, new_gid)]),
        _ => group.to_owned(),
    };
    let file = |text: &str| (0o644, format!("{}\n", text.trim_end()).into_bytes());
    UserMove::Needed {
        dockerfile: dockerfile(image, facts, account, (uid, new_gid)),
        files: [("passwd".into(), file(&passwd)), ("group".into(), file(&group))].into(),
    }
}

fn dockerfile(image: &str, facts: &ImageInfo, account: &Account, (uid, gid): (u32, u32)) -> String {
    // An image that runs as the old number must run as the user still.
    let runs_as = facts.user.as_deref().unwrap_or("root");
    let (runs_as, of_group) =
        runs_as.split_once(':').map_or((runs_as, None), |(user, group)| (user, Some(group)));
    let runs_as = if runs_as == account.uid.to_string() { &account.name } else { runs_as };
    let runs_as = of_group.map_or_else(|| runs_as.to_owned(), |group| format!("{runs_as}:{group}"));
    let home = serde_json::json!([
        "/bin/sh",
        "-c",
        "if [ -d \"$1\" ]; then chown -hR \"$2\" \"$1\"; fi",
        "-",
        account.home,
        format!("{uid}:{gid}")
    ]);
    // A home that is the whole system is not the user's.
    let home =
        if account.home.trim_matches('/').is_empty() { String::new() } else { format!("RUN {home}\n") };
    format!("FROM {image}\nUSER root\nCOPY passwd /etc/passwd\nCOPY group /etc/group\n{home}USER {runs_as}\n")
}

/// The text with numbers replaced in the first line that begins with `name:`.
fn with_field(text: &str, name: &str, fields: &[(usize, u32)]) -> String {
    let mut done = false;
    let lines = text.lines().map(|line| {
        let mut parts: Vec<String> = line.split(':').map(str::to_owned).collect();
        if !done && parts[0] == name {
            done = true;
            for (index, number) in fields {
                if let Some(part) = parts.get_mut(*index) {
                    *part = number.to_string();
                }
            }
        }
        parts.join(":")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The text with the line of `name` before that of whoever else has its number: the first name is the one it goes by.
fn before_others(passwd: &str, name: &str, uid: u32) -> String {
    let number = uid.to_string();
    let is_own = |line: &str| line.split(':').next() == Some(name);
    let has_number = |line: &str| line.split(':').nth(2) == Some(number.as_str());
    let mut lines: Vec<&str> = passwd.lines().collect();
    let (own, first) =
        (lines.iter().position(|line| is_own(line)), lines.iter().position(|line| has_number(line)));
    if let (Some(own), Some(first)) = (own, first)
        && first < own
    {
        let line = lines.remove(own);
        lines.insert(first, line);
    }
    lines.join("\n")
}

impl Engine {
    /// Makes sure that `user` has this uid and gid in an image made from `image`. Gives the name of the image
    /// to use, which is `image` itself when nothing has to be done and else `tag`, and what was found.
    pub async fn move_user(
        &self,
        image: &str,
        user: &str,
        ids: (u32, u32),
        tag: &str,
        labels: &BTreeMap<String, String>,
        progress: &dyn Progress,
    ) -> Result<(String, UserMove), BuildError> {
        let operation = format!("look at the image `{image}`");
        let facts = self
            .image(image)
            .await?
            .ok_or_else(|| EngineError::from_message(&operation, Some(404), "there is no such image"))?;
        let files = self.files_of_image(image, &["/etc/passwd", "/etc/group"]).await?;
        let text =
            |index: usize| String::from_utf8_lossy(files.get(index).map_or(&[], Vec::as_slice)).into_owned();
        let found = plan_user_move(image, &facts, user, ids, &text(0), &text(1));
        let UserMove::Needed { dockerfile, files } = &found else { return Ok((image.to_owned(), found)) };
        let spec = BuildSpec {
            context: BuildContext::Files(files.clone()),
            dockerfile: Dockerfile::Text(dockerfile.clone()),
            // An image for another processor stays one, and is not asked of a registry for this one.
            platforms: facts.platform().into_iter().collect(),
            tags: vec![tag.to_owned()],
            labels: labels.clone(),
            ..BuildSpec::default()
        };
        self.build(&spec, progress).await?;
        Ok((tag.to_owned(), found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnode:x:1001:1001::/home/node:/bin/bash\n";
    const GROUP: &str = "root:x:0:\nnode:x:1001:\nwheel:x:1002:node\n";

    fn plan(user: &str, passwd: &str, group: &str) -> UserMove {
        let facts = ImageInfo { user: Some("1001".into()), ..ImageInfo::default() };
        plan_user_move("img:1", &facts, user, (1000, 1000), passwd, group)
    }

    #[test]
    fn nothing_is_done_where_nothing_helps() {
        for user in ["root", "0", "nobody-here", "root:wheel"] {
            assert_eq!(plan(user, PASSWD, GROUP), UserMove::NotNeeded, "{user}");
        }
        let right = PASSWD.replace("1001", "1000");
        assert_eq!(plan("node", &right, &GROUP.replace("1001", "1000")), UserMove::NotNeeded);
    }

    /// The Dockerfile, `/etc/passwd` and `/etc/group` of a move that has to be.
    fn needed(found: UserMove) -> (String, String, String) {
        let UserMove::Needed { dockerfile, files } = found else { panic!("node has to move") };
        let text = |name: &str| String::from_utf8(files[camino::Utf8Path::new(name)].1.clone()).unwrap();
        (dockerfile, text("passwd"), text("group"))
    }

    #[test]
    fn a_number_that_another_user_has_goes_by_the_name_of_the_one_who_works_there() {
        let taken = PASSWD.replace("node:", "vscode:x:1000:1000::/home/vscode:/bin/sh\nnode:");
        let (_, passwd, _) = needed(plan("node", &taken, GROUP));
        let (node, vscode) = (passwd.find("\nnode:x:1000:"), passwd.find("\nvscode:x:1000:"));
        assert!(node.is_some() && node < vscode, "{passwd}");
    }

    #[test]
    fn the_user_moves_with_its_group_and_home() {
        let (dockerfile, passwd, group) = needed(plan("node", PASSWD, GROUP));
        assert!(dockerfile.starts_with("FROM img:1\nUSER root\n"));
        assert!(passwd.contains("\nnode:x:1000:1000::/home/node:/bin/bash\n"));
        assert!(group.contains("\nnode:x:1000:\nwheel:x:1002:node\n"));
        assert!(dockerfile.contains("\"/home/node\",\"1000:1000\"]\n"));
        assert!(dockerfile.ends_with("USER node\n"), "{dockerfile}");
    }

    #[test]
    fn a_taken_group_stays() {
        let (_, passwd, group) = needed(plan("node", PASSWD, &format!("{GROUP}docker:x:1000:\n")));
        assert!(passwd.contains("\nnode:x:1000:1001::/home/node:/bin/bash\n"));
        assert!(group.contains("\nnode:x:1001:\n"));
    }
}
