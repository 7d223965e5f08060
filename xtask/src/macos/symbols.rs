//! What a linked program leaves to its start must be something that Apple's frameworks have.
//!
//! Frameworks are known by name only when linking, so the linker believes everything. Names of Apple's begin with
//! the letters of their framework; anything else is a function that nobody provides, and the program would not
//! start on a Mac.

use camino::{Utf8Path, Utf8PathBuf};
use object::LittleEndian;
use object::macho::{CPU_TYPE_ARM64, DYNAMIC_LOOKUP_ORDINAL, MH_EXECUTE, MachHeader64};
use object::read::macho::{MachHeader as _, Nlist as _};

/// How names begin in the frameworks that `sdk` lists, and in the runtime of Objective-C.
const APPLE: [&str; 30] = [
    "_CF",
    "_CG",
    "_CV",
    "_FSEvent",
    "_IO",
    "_LMGet",
    "_NS",
    "_OBJC_",
    "_SC",
    "_SCDynamic",
    "_Sec",
    "_TIS",
    "_TransformProcessType",
    "_UCKey",
    "_VZ",
    "_WK",
    "___objc_personality",
    "_class_",
    "_ivar_",
    "_kCF",
    "_kCG",
    "_kIO",
    "_kSC",
    "_kSec",
    "_kTIS",
    "_method_",
    "_objc_",
    "_object_",
    "_protocol_",
    "_sel_",
];

/// The program is not one that starts on a Mac.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SymbolsError {
    /// Some library is missing in the link, or the code calls what does not exist.
    #[error("{program} wants what no library of macOS has: {}", names.join(", "))]
    Undefined { program: Utf8PathBuf, names: Vec<String> },
    /// Another kind of file.
    #[error("{program} is not a Mach-O program for arm64")]
    OtherKind { program: Utf8PathBuf },
    /// The file is damaged.
    #[error("could not read the symbols of {program}")]
    Read { program: Utf8PathBuf, source: object::Error },
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Checks a linked program.
pub(super) fn check(program: &Utf8Path) -> Result<(), SymbolsError> {
    let data = fs_err::read(program)?;
    let read = |source| SymbolsError::Read { program: program.to_owned(), source };
    let header = MachHeader64::<LittleEndian>::parse(&*data, 0).map_err(read)?;
    let endian = LittleEndian;
    if header.cputype(endian) != CPU_TYPE_ARM64 || header.filetype(endian) != MH_EXECUTE {
        return Err(SymbolsError::OtherKind { program: program.to_owned() });
    }
    let wanted = left_to_the_start(header, &data).map_err(read)?;
    let names: Vec<String> = wanted.into_iter().filter(|name| !is_apples(name)).collect();
    if names.is_empty() {
        Ok(())
    } else {
        Err(SymbolsError::Undefined { program: program.to_owned(), names })
    }
}

fn left_to_the_start(header: &MachHeader64<LittleEndian>, data: &[u8]) -> object::Result<Vec<String>> {
    let endian = LittleEndian;
    let mut names = Vec::new();
    let mut commands = header.load_commands(endian, data, 0)?;
    while let Some(command) = commands.next()? {
        let Some(table) = command.symtab()? else { continue };
        let symbols = table.symbols::<MachHeader64<LittleEndian>, _>(endian, data)?;
        for symbol in symbols.iter() {
            if symbol.is_undefined() && symbol.library_ordinal(endian) == DYNAMIC_LOOKUP_ORDINAL {
                let name = symbol.name(endian, symbols.strings())?;
                names.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    Ok(names)
}

fn is_apples(name: &str) -> bool {
    APPLE.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_frameworks_are_told_from_made_up_ones() {
        for name in
            ["_objc_msgSend", "_OBJC_CLASS_$_NSObject", "_SecTrustEvaluateWithError", "_kCFAllocatorDefault"]
        {
            assert!(is_apples(name), "{name}");
        }
        for name in ["___ubsan_handle_type_mismatch_v1", "_sqlite3_open", "_cove_made_up"] {
            assert!(!is_apples(name), "{name}");
        }
    }
}
