//! A person's own files: a git repository that is cloned into the container, and what is done with it there.

use std::collections::BTreeMap;

use engine::{CommandContext, CommandError, Progress};

use crate::secrets::Secrets;
use crate::workplace::Workplace;

/// The repository and what to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dotfiles {
    /// Its URL, a path in the container, or `owner/name` on GitHub.
    pub repository: String,
    /// The command in it to run; the first of the usual scripts without it, and links where there is none.
    pub install_command: Option<String>,
    /// The folder it is cloned to; `~` is the home folder.
    pub target: String,
    /// The user's data folder for the mark that it was done, absolute.
    pub data_folder: String,
}

/// The folder that dotfiles are cloned to unless a person says otherwise.
pub const DEFAULT_TARGET: &str = "~/dotfiles";

/// The name under which progress is reported.
const ITEM: &str = "dotfiles";

/// Installs them. All that varies comes in variables, so that no quote of a person can break the script. The mark is
/// made before their own commands run, as in the reference: installing twice may do harm that installing half does not. It
/// is emptied when they ended well, so that nobody takes work that failed or was cut off for done. Fetching them can be
/// repeated, and is.
const INSTALL: &str = r#"
marker=$COVE_DOTFILES_MARKER repository=$COVE_DOTFILES_REPOSITORY wanted=$COVE_DOTFILES_COMMAND
case $COVE_DOTFILES_TARGET in
  '~') target=$HOME ;;
  '~/'*) target=$HOME/${COVE_DOTFILES_TARGET#??} ;;
  *) target=$COVE_DOTFILES_TARGET ;;
esac
unset COVE_DOTFILES_MARKER COVE_DOTFILES_REPOSITORY COVE_DOTFILES_COMMAND COVE_DOTFILES_TARGET
if [ -s "$marker" ]; then
  echo 'Their installation failed or was cut off in this container before, and is not repeated in it.'
  exit 1
elif [ -f "$marker" ]; then
  echo 'The dotfiles are installed already.'
  exit
fi
command -v git >/dev/null 2>&1 || { echo 'There is no git in the container to fetch the dotfiles with.'; exit 127; }
if [ ! -e "$target" ]; then
  part=${target%/}.part
  rm -rf -- "$part"
  git clone --depth 1 -- "$repository" "$part" && mv -- "$part" "$target" || exit
fi
cd -- "$target" || exit
mkdir -p "${marker%/*}" && echo begun > "$marker" || exit
done_well() { : > "$marker"; exit; }
run() {
  [ -x "$1" ] || chmod +x -- "$1"
  echo "Running $1"
  "$1" || exit
}
if [ -n "$wanted" ]; then
  if [ -f "./$wanted" ]; then run "./$wanted"
  elif [ -f "$wanted" ]; then run "$wanted"
  else echo "There is no $wanted in the dotfiles."; exit 126
  fi
  done_well
fi
for file in install.sh install bootstrap.sh bootstrap script/bootstrap setup.sh setup script/setup; do
  if [ -e "$file" ]; then run "./$file"; done_well; fi
done
found=
for file in "$target"/.*; do
  case ${file##*/} in .|..|.git|'.*') continue ;; esac
  found=1
  echo "Linking ${file##*/}"
  ln -sfn -- "$file" "$HOME/"
done
[ -n "$found" ] || echo 'There are no dotfiles in the repository.'
done_well
"#;

/// Clones and installs dotfiles unless that was done in this container before. `secrets` go to the commands only.
pub async fn install(
    place: &Workplace,
    dotfiles: &Dotfiles,
    secrets: &Secrets,
    progress: &dyn Progress,
) -> Result<(), CommandError> {
    let mut env: BTreeMap<String, String> = place.env().clone();
    env.extend(secrets.variables().clone());
    // A function of bash in a variable is none for another shell, whose parser may even stumble over it.
    env.retain(|name, _| !(name.starts_with("BASH_FUNC_") && name.ends_with("%%")));
    env.insert("HOME".to_owned(), place.home().to_owned());
    env.extend(script_variables(dotfiles));
    let context = CommandContext { env, cwd: Some(place.home().to_owned()), ..place.context() };
    let command = devcontainer::Command::Shell(INSTALL.to_owned());
    let masks = secrets.masks();
    place.engine().run_command(&command, &context, ITEM, &masks.before(progress)).await
}

fn script_variables(dotfiles: &Dotfiles) -> [(String, String); 4] {
    let marker = format!("{}/.dotfilesMarker", dotfiles.data_folder.trim_end_matches('/'));
    [
        ("COVE_DOTFILES_MARKER", marker),
        ("COVE_DOTFILES_REPOSITORY", repository_url(&dotfiles.repository)),
        ("COVE_DOTFILES_COMMAND", dotfiles.install_command.clone().unwrap_or_default()),
        ("COVE_DOTFILES_TARGET", dotfiles.target.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// What git is given: `owner/name` means GitHub.
fn repository_url(written: &str) -> String {
    let is_path = ["/", "./", "../"].iter().any(|start| written.starts_with(start));
    if written.contains(':') || is_path {
        written.to_owned()
    } else {
        format!("https://github.com/{written}.git")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_of_github() {
        for (written, url) in [
            ("me/dotfiles", "https://github.com/me/dotfiles.git"),
            ("https://git.example/me/d", "https://git.example/me/d"),
            ("git@github.com:me/d.git", "git@github.com:me/d.git"),
            ("/srv/dotfiles", "/srv/dotfiles"),
            ("./d", "./d"),
        ] {
            assert_eq!(repository_url(written), url);
        }
    }
}
