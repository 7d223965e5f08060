//! The volume that a clone is put into.

use std::io;
use std::time::Duration;

use api::{Environment, Problem, ProblemCode, Source};
use camino::{Utf8Path, Utf8PathBuf};
use engine::{Engine, PathFound, Progress, ProgressEvent, ProgressKind};
use futures::StreamExt;
use provision::image::PreparedImage;
use serde_json::json;
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use super::archive::{self, Owner, Tally};
use super::{Paths, REMOVALS, listing, note_known, unwritable, volume_of};
use crate::execute::Turn;
use crate::observe::ENVIRONMENT_LABEL;
use crate::problems::from_engine;

/// Where the volume is mounted in our containers, which never run.
pub(super) const TOP: &str = "cove-source";

/// What is in a volume that is whole, below it: written last.
const MARK: &str = ".git/cove";

/// What is in a volume that all was put into, written before the mark: whom the files belong to. A volume without a mark
/// was seen by builds at most, and may be filled again.
const OWNER: &str = ".git/cove-owner";

/// The label of such containers, with the environment.
const FILLING_LABEL: &str = "dev.cove.filling";

/// Bytes on their way.
const PIECE: usize = 1 << 18;

/// News after so many bytes.
const NEWS_BYTES: u64 = 1 << 20;

/// How long changing the owner of all files may take.
const PATIENCE: Duration = Duration::from_hours(1);

/// Changes whose the files of one user ($0) are ($1). Links are changed themselves, and not followed.
const HAND_OVER: &str = r#"
cd /cove-source || exit 3
exec find . -xdev -user "$0" -exec chown -h "$1" {} +
"#;

/// Who owns files before it is known who will work with them: whom most images have, and others are moved to.
pub(super) const USUAL: Owner = Owner { uid: 1000, gid: 1000 };

/// The step that puts the clone into the volume, owned by the user who works in a container of this image.
pub(crate) async fn fill(turn: &mut Turn<'_>, image: &PreparedImage, user: &str) -> Result<(), Problem> {
    let hands = Hands::of(turn);
    hands.clear().await?;
    hands.begin().await?;
    let container = hands.open(Some(&image.info.id)).await?;
    let filled = async {
        let owner = hands.owner_for(&container, user).await?;
        if hands.is_whole(&container).await? {
            turn.report.line("the sources are there already, and stay as they are");
            return Ok(());
        }
        // With a Dockerfile they were put there for the build.
        if hands.owner(&container).await? != Some(owner) {
            hands.close(&container).await?;
            hands.begin_again().await?;
            return hands.put(owner, Some(&image.info.id), turn.report).await;
        }
        Ok(())
    }
    .await;
    hands.clear().await?;
    filled?;
    let container = hands.open(Some(&image.info.id)).await?;
    let marked = hands.note(&container, MARK, &format!("{}\n", turn.environment.id)).await;
    hands.close(&container).await?;
    marked?;
    note_known(&Paths::of(turn.environment.spec.source.folder()), turn.environment)
}

/// Gives the sources to the user who is about to work in a container of this image, if they belong to another: a
/// container made anew may have another `remoteUser`. What others own in between, a database for instance, stays theirs.
/// `parts` of the volume that are mounted by themselves are made where there is nothing, as docker makes folders for `-v`.
pub(crate) async fn give(
    turn: &Turn<'_>,
    image: &PreparedImage,
    user: &str,
    parts: &[Utf8PathBuf],
) -> Result<(), Problem> {
    if !matches!(turn.environment.spec.source, Source::Clone { .. }) {
        return Ok(());
    }
    let hands = Hands::of(turn);
    hands.clear().await?;
    let container = hands.open(Some(&image.info.id)).await?;
    let owners = async {
        let wanted = hands.owner_for(&container, user).await?;
        for part in parts {
            hands.provide(&container, part, wanted).await?;
        }
        Ok::<_, Problem>((hands.owner(&container).await?, wanted))
    }
    .await;
    hands.close(&container).await?;
    match owners? {
        (Some(owner), wanted) if owner != wanted => {
            turn.report
                .line(format!("the sources go from user {} to user {} (`{user}`)", owner.uid, wanted.uid));
            hands.hand_over(&image.info.id, owner, wanted).await
        }
        // Without the note a person has made the git folder anew, and knows best whose the files are.
        (Some(_) | None, _) => Ok(()),
    }
}

/// Removes the volume of an environment, and what is known of its clone.
pub(crate) async fn remove(turn: &Turn<'_>) -> Result<(), Problem> {
    let Source::Clone { folder, .. } = &turn.environment.spec.source else { return Ok(()) };
    if turn.parts.machine.state().is_ready() {
        let hands = Hands::of(turn);
        hands.clear().await?;
        hands.discard().await?;
    }
    let key = Paths::of(folder).key;
    // A git that a killed daemon left may write to it still.
    let removed = (1..REMOVALS).find_map(|_| fs_err::remove_dir_all(&key).ok());
    match removed.map_or_else(|| fs_err::remove_dir_all(&key), Ok) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(&key, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reaches into the volume of one environment, by containers that never run.
pub(super) struct Hands<'a> {
    pub(super) engine: Engine,
    environment: &'a Environment,
    pub(super) volume: String,
}

impl<'a> Hands<'a> {
    pub(super) fn of(turn: &Turn<'a>) -> Self {
        let environment = turn.environment;
        Self { engine: turn.parts.machine.engine(), environment, volume: volume_of(&environment.id) }
    }

    fn label(&self) -> String {
        format!("{FILLING_LABEL}={}", self.environment.id)
    }

    /// Removes the containers that were left by who was cut off.
    pub(super) async fn clear(&self) -> Result<(), Problem> {
        super::unsaved::clear(&self.engine, self.environment).await?;
        let left = self.engine.find_containers(&[self.label()]).await.map_err(|error| from_engine(&error))?;
        for container in left {
            self.close(&container.id).await?;
        }
        Ok(())
    }

    /// Makes a container with the volume, and the volume with it where there is none. Any image serves; without one an
    /// empty one is made, which goes with the container.
    pub(super) async fn open(&self, image: Option<&str>) -> Result<String, Problem> {
        let image = if let Some(image) = image {
            image.to_owned()
        } else {
            let made = self.engine.import_empty_image(FILLING_LABEL, self.environment.id.as_str()).await;
            made.map_err(|error| from_engine(&error))?
        };
        let body = json!({
            "Image": image,
            "Cmd": ["-"],
            "Labels": { FILLING_LABEL: self.environment.id.as_str() },
            "HostConfig": { "NetworkMode": "none", "Mounts": [{
                "Type": "volume", "Source": self.volume, "Target": format!("/{TOP}"),
                "VolumeOptions": {
                    "NoCopy": true,
                    "Labels": { ENVIRONMENT_LABEL: self.environment.id.as_str() },
                },
            }]},
        });
        self.engine.create_from(None, &body).await.map_err(|error| from_engine(&error))
    }

    /// Removes such a container, and an image that was made for it; the volume stays.
    pub(super) async fn close(&self, container: &str) -> Result<(), Problem> {
        self.engine.remove_container(container).await.map_err(|error| from_engine(&error))?;
        let made = self.engine.images(&[self.label()]).await.map_err(|error| from_engine(&error))?;
        for image in made {
            self.engine.remove_image(&image).await.map_err(|error| from_engine(&error))?;
        }
        Ok(())
    }

    /// Notes that there is no volume yet, so that what comes of a filling that is cut off is nobody's work.
    pub(super) async fn begin(&self) -> Result<(), Problem> {
        let found = self.engine.volume(&self.volume).await.map_err(|error| from_engine(&error))?;
        if found.is_some() {
            return Ok(());
        }
        let paths = Paths::of(self.environment.spec.source.folder());
        let noted = fs_err::create_dir_all(&paths.key).and_then(|()| fs_err::write(paths.filling(), ""));
        noted.map_err(|error| unwritable(&paths.key, &error))
    }

    /// Removes a volume that is not whole, to fill it anew; never one that somebody may have worked in.
    pub(super) async fn begin_again(&self) -> Result<(), Problem> {
        let paths = Paths::of(self.environment.spec.source.folder());
        if self.environment.status.started_at.is_none() || paths.filling().exists() {
            return self.discard().await;
        }
        let (name, volume) = (&self.environment.metadata.name, &self.volume);
        let title = format!(
            "the volume `{volume}` of `{name}` lacks what Cove notes in it, and may hold work: it is not filled anew"
        );
        Err(Problem::new(ProblemCode::UnsavedWork, title)
            .with_hint("copy what you need out of the volume first")
            .with_command(
                "then remove it, and bring the environment up again",
                format!("docker volume rm {volume}"),
            ))
    }

    async fn discard(&self) -> Result<(), Problem> {
        self.engine.remove_volume(&self.volume).await.map_err(|error| from_engine(&error))
    }

    pub(super) async fn is_whole(&self, container: &str) -> Result<bool, Problem> {
        let mark = self.engine.file_of_container(container, &format!("/{TOP}/{MARK}")).await;
        Ok(mark.map_err(|error| from_engine(&error))?.is_some())
    }

    /// Writes a small file into the volume.
    async fn note(&self, container: &str, path: &str, text: &str) -> Result<(), Problem> {
        let mut note = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let packed = note.append_data(&mut header, format!("{TOP}/{path}"), text.as_bytes());
        let packed = packed.and_then(|()| note.into_inner()).map_err(|error| broken(&error))?;
        let once = futures::stream::iter([Ok(bytes::Bytes::from(packed))]);
        let written = self.engine.extract_into(container, "/", "a note on the sources", once).await;
        written.map_err(|error| from_engine(&error))
    }

    /// Who owns what was put into the volume; `None` where that did not come to its end.
    pub(super) async fn owner(&self, container: &str) -> Result<Option<Owner>, Problem> {
        let note = self.engine.file_of_container(container, &format!("/{TOP}/{OWNER}")).await;
        let note = note.map_err(|error| from_engine(&error))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&note).into_owned();
        let numbers = text.trim().split_once(':');
        Ok(numbers.and_then(|(uid, gid)| Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? })))
    }

    /// Makes a folder below the volume, with those above it, unless something is there.
    async fn provide(&self, container: &str, below: &Utf8Path, owner: Owner) -> Result<(), Problem> {
        let mut made = tar::Builder::new(Vec::new());
        let mut at = Utf8PathBuf::from(TOP);
        let mut is_missing = false;
        for part in below {
            at.push(part);
            if !is_missing {
                let found = self.engine.path_in_container(container, &format!("/{at}")).await;
                match found.map_err(|error| from_engine(&error))? {
                    PathFound::Other => continue,
                    // The engine follows it within the volume, and tells of one that leads nowhere.
                    PathFound::Link(_) => return Ok(()),
                    PathFound::Nothing => is_missing = true,
                }
            }
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_mode(0o755);
            header.set_uid(owner.uid.into());
            header.set_gid(owner.gid.into());
            made.append_data(&mut header, &at, io::empty()).map_err(|error| broken(&error))?;
        }
        if !is_missing {
            return Ok(());
        }
        let packed = made.into_inner().map_err(|error| broken(&error))?;
        let once = futures::stream::iter([Ok(bytes::Bytes::from(packed))]);
        let written = self.engine.extract_into(container, "/", "a folder of the sources", once).await;
        written.map_err(|error| from_engine(&error))
    }

    /// The numbers of a user in the image of such a container.
    async fn owner_for(&self, container: &str, user: &str) -> Result<Owner, Problem> {
        let account = self.engine.account(container, user).await;
        let account = account.map_err(|error| crate::problems::from_user(&error))?;
        Ok(Owner { uid: account.uid, gid: account.gid })
    }

    /// Changes whose the files are. The note is written last: what is cut off is done again, and [`Self::clear`] ends it.
    async fn hand_over(&self, image: &str, from: Owner, to: Owner) -> Result<(), Problem> {
        let body = json!({
            "Image": image,
            "Entrypoint": ["/bin/sh", "-c", HAND_OVER, from.uid.to_string(), format!("{}:{}", to.uid, to.gid)],
            "Cmd": [],
            "User": "0:0",
            "WorkingDir": "/",
            "Labels": { FILLING_LABEL: self.environment.id.as_str() },
            "HostConfig": { "NetworkMode": "none", "Mounts": [
                { "Type": "volume", "Source": self.volume, "Target": format!("/{TOP}") },
            ]},
        });
        let id = self.engine.create_from(None, &body).await.map_err(|error| from_engine(&error))?;
        let ran = tokio::time::timeout(PATIENCE, super::unsaved::run(&self.engine, &id)).await;
        let given = match ran {
            Ok(Ok((0, _))) => self.note(&id, OWNER, &format!("{}:{}\n", to.uid, to.gid)).await,
            Ok(Ok((_, lines))) => Err(not_given(to).with_log(lines)),
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(not_given(to).with_hint("it took longer than an hour")),
        };
        self.close(&id).await?;
        given
    }

    /// Puts the clone into a new volume, and reads it back.
    pub(super) async fn put(
        &self,
        owner: Owner,
        image: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<(), Problem> {
        let container = self.open(image).await?;
        let put = self.put_into(&container, owner, progress).await;
        self.close(&container).await?;
        put
    }

    async fn put_into(&self, container: &str, owner: Owner, progress: &dyn Progress) -> Result<(), Problem> {
        let tree = Paths::of(self.environment.spec.source.folder()).tree();
        let listing = listing(&tree).await?;
        let (reader, writer) = tokio::io::duplex(PIECE);
        let writing = tokio::task::spawn_blocking(move || {
            archive::write(&tree, &listing, TOP, owner, SyncIoBridge::new(writer))
        });
        let (tell, mut passed) = tokio::sync::mpsc::unbounded_channel();
        let pieces = ReaderStream::with_capacity(reader, PIECE).inspect(move |piece| {
            // Nobody counts any more: the work was given up.
            let _ = tell.send(piece.as_ref().map_or(0, bytes::Bytes::len) as u64);
        });
        let sending = self.engine.extract_into(container, "/", "the sources", pieces);
        let mut sending = std::pin::pin!(sending);
        let mut news = Passed { progress, done: 0, told: 0 };
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent,
                Some(bytes) = passed.recv() => news.more(bytes),
            }
        };
        let written = writing.await.map_err(|error| broken(&io::Error::other(error)))?;
        // What the engine says of a stream that broke off is not the cause.
        let written = match (written, sent) {
            (Ok(tally), Ok(())) => tally,
            (Err(error), Err(said)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(from_engine(&said));
            }
            (Err(error), _) => return Err(broken(&error)),
            (Ok(_), Err(said)) => return Err(from_engine(&said)),
        };
        let there = self.count(container).await?;
        if there != written {
            let title = format!(
                "the sources did not arrive whole: {} files and folders of {} bytes were sent, and {} of {} are there",
                written.entries, written.bytes, there.entries, there.bytes
            );
            return Err(Problem::new(ProblemCode::CloneFailed, title));
        }
        self.note(container, OWNER, &format!("{}:{}\n", owner.uid, owner.gid)).await
    }

    async fn count(&self, container: &str) -> Result<Tally, Problem> {
        let pieces =
            self.engine.archive_of(container, &format!("/{TOP}")).map_err(|error| from_engine(&error))?;
        let reader = StreamReader::new(pieces.map(|piece| piece.map_err(io::Error::other)));
        let counting = tokio::task::spawn_blocking(move || archive::tally(SyncIoBridge::new(reader)));
        counting.await.map_err(|error| broken(&io::Error::other(error)))?.map_err(|error| broken(&error))
    }
}

fn not_given(to: Owner) -> Problem {
    let title = format!("the sources could not be given to user {}, who works in the container now", to.uid);
    Problem::new(ProblemCode::CloneFailed, title)
        .with_hint("the image needs `/bin/sh`, `find` and `chown` for that; or set `remoteUser` back")
}

fn broken(error: &io::Error) -> Problem {
    Problem::new(ProblemCode::CloneFailed, "the sources could not be put into the machine").caused_by(error)
}

/// Tells of bytes, not of every few.
struct Passed<'a> {
    progress: &'a dyn Progress,
    done: u64,
    told: u64,
}

impl Passed<'_> {
    fn more(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done - self.told >= NEWS_BYTES {
            self.told = self.done;
            let kind = ProgressKind::Bytes { done: self.done, total: None };
            self.progress.report(ProgressEvent { item: "sources".to_owned(), kind });
        }
    }
}
