//! Routes about the editors of this computer.

use api::{EditorChoice, EditorWay, Editors, ErrorBody, KnownEditor, Problem, ProblemCode};
use axum::Json;
use axum::extract::State;
use camino::Utf8Path;
use host::editors::{self, Editor};

use super::Api;
use super::answer::{Body, Refusal};
use super::secrets::patiently;

/// Which editors can open environments here, and which one does unless another is named.
#[utoipa::path(get, path = "/v1/editors", tag = "settings",
    responses((status = 200, body = Editors), (status = "default", body = ErrorBody)))]
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Editors>, Refusal> {
    Ok(Json(patiently(move || Ok(known(&api.editor_file))).await?))
}

/// This editor shall open environments unless another is named, for `cove open` too.
#[utoipa::path(put, path = "/v1/editors", tag = "settings", request_body = EditorChoice,
    responses((status = 200, body = Editors), (status = "default", body = ErrorBody)))]
pub(super) async fn choose(
    State(api): State<Api>,
    Body(choice): Body<EditorChoice>,
) -> Result<Json<Editors>, Refusal> {
    let editor = match &choice.editor {
        None => None,
        Some(word) => Some(Editor::of_word(word).ok_or_else(|| {
            let words = Editor::ALL.map(Editor::word).join(", ");
            let title = format!("there is no editor `{word}`");
            Problem::new(ProblemCode::InvalidRequest, title).with_hint(format!("these are known: {words}"))
        })?),
    };
    let keep = move || {
        editors::remember(&api.editor_file, editor).map_err(|error| {
            let title = format!("the choice of an editor could not be written to `{}`", api.editor_file);
            Problem::new(ProblemCode::Internal, title).caused_by(&error)
        })?;
        Ok(known(&api.editor_file))
    };
    Ok(Json(patiently(keep).await?))
}

fn known(file: &Utf8Path) -> Editors {
    let remembered = editors::remembered(file);
    let word = |editor: Editor| editor.word().to_owned();
    let all = Editor::LOOKED_FOR.into_iter().chain([Editor::Terminal]).map(|editor| {
        let program = editor.program();
        KnownEditor {
            name: word(editor),
            title: editor.title().to_owned(),
            way: match editor {
                Editor::Terminal => EditorWay::Shell,
                editor if editor.attaches() => EditorWay::Attaches,
                _ => EditorWay::Ssh,
            },
            found: program.is_some() || editor == Editor::Terminal,
            program,
        }
    });
    Editors {
        chosen: remembered.map(word),
        opens: editors::choose(None, remembered, |_| true).map(word),
        editors: all.collect(),
    }
}
