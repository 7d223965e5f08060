//! Methods of delegates against the protocols of Apple's that declare them.
//!
//! `define_class!` takes any selector and any arguments in the implementation of a protocol; only a Mac would tell,
//! by never calling the method. So each is looked up in the declarations that the `objc2` crates were generated with.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, MetadataCommand};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::visit::Visit;
use syn::{Attribute, FnArg, ImplItem, Item, Macro, Meta, Signature, TraitItem};

use crate::output::say;

/// How the packages of Apple's frameworks are called.
const FRAMEWORK_PACKAGES: &str = "objc2-";

/// The protocol that objects have by themselves; its methods are not ours to write.
const OF_EVERY_OBJECT: &str = "NSObjectProtocol";

/// A delegate would not be called, or the declarations could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DelegatesError {
    /// Methods that no protocol has, or has otherwise.
    #[error("delegates that macOS would not call as they are written:\n{}", faults.join("\n"))]
    Faults { faults: Vec<String> },
    /// Cargo does not tell where the packages are.
    #[error("could not find the declarations of Apple's frameworks")]
    Metadata(#[from] cargo_metadata::Error),
    /// A file is no Rust.
    #[error("could not read {file}")]
    Syntax { file: Utf8PathBuf, source: syn::Error },
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A method: its selector, and the types of its arguments and of its result as written.
#[derive(Debug, PartialEq, Eq)]
struct Method {
    selector: String,
    types: String,
}

/// Methods by protocol.
type Protocols = BTreeMap<String, Vec<Method>>;

/// Checks every delegate of the work tree.
pub(super) fn check(repository: &Utf8Path) -> Result<(), DelegatesError> {
    let metadata: Metadata = MetadataCommand::new()
        .current_dir(repository)
        .other_options(vec!["--locked".to_owned(), "--filter-platform".to_owned(), super::MAC.to_owned()])
        .exec()?;
    let mut protocols = Protocols::new();
    let frameworks = metadata.packages.iter().filter(|package| package.name.starts_with(FRAMEWORK_PACKAGES));
    for folder in frameworks.filter_map(|package| package.manifest_path.parent()) {
        each_file(&folder.join("src/generated"), &mut |_, file| {
            Declarations { found: &mut protocols }.visit_file(file);
        })?;
    }
    let mut faults = Vec::new();
    let mut count = 0;
    for package in metadata.workspace_packages() {
        let Some(folder) = package.manifest_path.parent() else { continue };
        each_file(&folder.join("src"), &mut |path, file| {
            let place = path.strip_prefix(repository).unwrap_or(path);
            let mut classes = Classes { protocols: &protocols, place, count: 0, faults: Vec::new() };
            classes.visit_file(file);
            count += classes.count;
            faults.append(&mut classes.faults);
        })?;
    }
    say(format!("    {count} methods of delegates, {} protocols known", protocols.len()));
    if faults.is_empty() { Ok(()) } else { Err(DelegatesError::Faults { faults }) }
}

/// Reads the Rust files below a folder that mention what is looked for; a folder that is not there has none.
fn each_file(folder: &Utf8Path, look: &mut dyn FnMut(&Utf8Path, &syn::File)) -> Result<(), DelegatesError> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in folder.read_dir_utf8()? {
        let path = entry?.into_path();
        if path.is_dir() {
            each_file(&path, look)?;
        } else if path.extension() == Some("rs") {
            let text = fs_err::read_to_string(&path)?;
            if [PROTOCOL_MACRO, CLASS_MACRO].iter().any(|name| text.contains(&format!("{name}!"))) {
                let file = syn::parse_file(&text);
                look(&path, &file.map_err(|source| DelegatesError::Syntax { file: path.clone(), source })?);
            }
        }
    }
    Ok(())
}

const PROTOCOL_MACRO: &str = "extern_protocol";
const CLASS_MACRO: &str = "define_class";

/// The items in the brackets of a macro of that name; `None` for another one.
fn items(call: &Macro, name: &str) -> Option<syn::Result<Vec<Item>>> {
    let called = call.path.segments.last().is_some_and(|segment| segment.ident == name);
    called.then(|| Ok(syn::parse2::<syn::File>(without_ivars(call.tokens.clone()))?.items))
}

/// Leaves out `#[ivars = …]`: what stands there is a type, and Rust's grammar wants an expression.
fn without_ivars(tokens: TokenStream) -> TokenStream {
    let is_ivars = |token: &TokenTree| {
        let TokenTree::Group(group) = token else { return false };
        matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "ivars")
    };
    let mut tokens = tokens.into_iter().peekable();
    let mut left = Vec::new();
    while let Some(token) = tokens.next() {
        let begins = matches!(&token, TokenTree::Punct(sign) if sign.as_char() == '#');
        if begins && tokens.next_if(is_ivars).is_some() {
            continue;
        }
        left.push(token);
    }
    left.into_iter().collect()
}

/// Gathers what protocols declare.
struct Declarations<'a> {
    found: &'a mut Protocols,
}

impl<'ast> Visit<'ast> for Declarations<'_> {
    fn visit_macro(&mut self, call: &'ast Macro) {
        // A macro of that name with something else in it, its own definition for one, declares nothing.
        for item in items(call, PROTOCOL_MACRO).and_then(Result::ok).unwrap_or_default() {
            let Item::Trait(declared) = item else { continue };
            let methods = declared.items.iter().filter_map(|item| match item {
                TraitItem::Fn(method) => Method::read(&method.attrs, &method.sig),
                _ => None,
            });
            self.found.entry(declared.ident.to_string()).or_default().extend(methods);
        }
    }
}

/// Compares what classes implement.
struct Classes<'a> {
    protocols: &'a Protocols,
    place: &'a Utf8Path,
    count: usize,
    faults: Vec<String>,
}

impl<'ast> Visit<'ast> for Classes<'_> {
    fn visit_macro(&mut self, call: &'ast Macro) {
        let items = match items(call, CLASS_MACRO) {
            None => return,
            Some(Ok(items)) => items,
            Some(Err(error)) => {
                let at = error.span().start();
                let fault = format!("a class that cannot be read: {error}");
                self.faults.push(format!("{}:{}:{}: {fault}", self.place, at.line, at.column + 1));
                return;
            }
        };
        for item in items {
            let Item::Impl(implemented) = item else { continue };
            let Some((of, _)) = &implemented.trait_ else { continue };
            let protocol = plain(of.to_token_stream());
            if protocol == OF_EVERY_OBJECT {
                continue;
            }
            for item in &implemented.items {
                if let ImplItem::Fn(method) = item
                    && let Some(found) = Method::read(&method.attrs, &method.sig)
                {
                    self.count += 1;
                    self.compare(&protocol, &found, method.sig.span());
                }
            }
        }
    }
}

impl Classes<'_> {
    fn compare(&mut self, protocol: &str, found: &Method, span: Span) {
        let Method { selector, types } = found;
        let declared = self.protocols.get(protocol).map(Vec::as_slice);
        let fault = match declared.map(|methods| methods.iter().find(|method| method.selector == *selector)) {
            None => format!("no framework that is used declares the protocol `{protocol}`"),
            Some(None) => format!("`{protocol}` has no method `{selector}`"),
            Some(Some(method)) if method.types != *types => {
                format!("`{selector}` of `{protocol}` is `{}`, not `{types}`", method.types)
            }
            Some(Some(_)) => return,
        };
        let at = span.start();
        self.faults.push(format!("{}:{}:{}: {fault}", self.place, at.line, at.column + 1));
    }
}

impl Method {
    fn read(attributes: &[Attribute], signature: &Signature) -> Option<Self> {
        let selector = attributes.iter().find_map(selector)?;
        let arguments = signature.inputs.iter().filter_map(|argument| match argument {
            FnArg::Typed(argument) => Some(plain(argument.ty.to_token_stream())),
            FnArg::Receiver(_) => None,
        });
        let arguments: Vec<String> = arguments.collect();
        let types = format!("({}){}", arguments.join(", "), plain(signature.output.to_token_stream()));
        Some(Self { selector, types })
    }
}

/// The selector in `#[unsafe(method(a:b:))]`.
fn selector(attribute: &Attribute) -> Option<String> {
    let Meta::List(list) = &attribute.meta else { return None };
    let mut words = list.tokens.clone().into_iter();
    match (words.next()?, words.next()?) {
        (TokenTree::Ident(name), TokenTree::Group(selector)) if name == "method" || name == "method_id" => {
            Some(plain(selector.stream()))
        }
        _ => None,
    }
}

/// Tokens without the spaces between them.
fn plain(tokens: TokenStream) -> String {
    tokens.to_string().split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: &str = r#"
        extern_protocol!(
            /// Told of the machine's end.
            pub unsafe trait MachineDelegate: NSObjectProtocol {
                #[cfg(feature = "Machine")]
                #[optional]
                #[unsafe(method(machine:didStopWithError:))]
                #[unsafe(method_family = none)]
                unsafe fn machine_didStopWithError(&self, machine: &Machine, error: &NSError);

                #[unsafe(method(listener:shouldAccept:))]
                unsafe fn listener_shouldAccept(&self, listener: &Listener, connection: &Connection) -> bool;
            }
        );
    "#;

    /// Faults of a class with this method, and how many methods were looked at.
    fn faults(method: &str) -> (usize, Vec<String>) {
        let class = format!(
            r#"define_class!(
                // SAFETY: none.
                #[unsafe(super(NSObject))]
                #[name = "Delegate"]
                #[ivars = mpsc::Sender<State>]
                struct Delegate;
                unsafe impl NSObjectProtocol for Delegate {{}}
                unsafe impl MachineDelegate for Delegate {{
                    {method}
                }}
            );"#
        );
        let mut protocols = Protocols::new();
        Declarations { found: &mut protocols }.visit_file(&syn::parse_file(PROTOCOL).unwrap());
        let place = Utf8Path::new("vz.rs");
        let mut classes = Classes { protocols: &protocols, place, count: 0, faults: Vec::new() };
        classes.visit_file(&syn::parse_file(&class).unwrap());
        (classes.count, classes.faults)
    }

    #[test]
    fn a_class_that_cannot_be_read_is_told() {
        let (count, faults) = faults("!");
        assert_eq!((count, faults.len()), (0, 1));
        assert!(faults[0].contains("a class that cannot be read"), "{}", faults[0]);
    }

    #[test]
    fn a_method_as_declared_passes() {
        let method = "#[unsafe(method(machine:didStopWithError:))]
            fn stopped(&self, _: &Machine, error: &NSError) { self.tell(error); }
            #[unsafe(method(listener:shouldAccept:))]
            fn accept(&self, _l: &Listener, connection: &Connection) -> bool { true }";
        assert_eq!(faults(method), (2, Vec::new()));
    }

    #[test]
    fn a_misspelt_selector_is_named_with_its_place() {
        let (_, faults) =
            faults("#[unsafe(method(machine:didStopWitError:))] fn stopped(&self, _: &Machine) {}");
        assert_eq!(faults, ["vz.rs:9:65: `MachineDelegate` has no method `machine:didStopWitError:`"]);
    }

    #[test]
    fn other_types_and_another_number_of_arguments_are_noticed() {
        for arguments in ["_: &Machine, _: &NSString", "_: &Machine", "_: &Machine, _: &NSError, _: bool"] {
            let method =
                format!("#[unsafe(method(machine:didStopWithError:))] fn stopped(&self, {arguments}) {{}}");
            let (_, faults) = faults(&method);
            assert!(faults[0].contains("is `(&Machine, &NSError)`, not `("), "{faults:?}");
        }
        let (_, faults) =
            faults("#[unsafe(method(listener:shouldAccept:))] fn a(&self, _: &Listener, _: &Connection) {}");
        assert!(faults[0].contains("->bool"), "{faults:?}");
    }
}
