//! What a program for the Mac says of itself.

use object::LittleEndian;
use object::macho::{CPU_TYPE_ARM64, LC_CODE_SIGNATURE, LinkeditDataCommand, MH_EXECUTE, MachHeader64};
use object::read::macho::MachHeader as _;

/// A Mach-O program for arm64.
pub(super) struct Program<'a> {
    /// The oldest macOS that starts it, such as `14.0`.
    pub(super) oldest_macos: String,
    /// The bytes that its signature speaks of, and the signature.
    pub(super) signed: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Program<'a> {
    /// Reads it; `None` for any other kind of file.
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        let endian = LittleEndian;
        let header = MachHeader64::<LittleEndian>::parse(data, 0).ok()?;
        if header.cputype(endian) != CPU_TYPE_ARM64 || header.filetype(endian) != MH_EXECUTE {
            return None;
        }
        let mut program = Self { oldest_macos: String::new(), signed: None };
        let mut commands = header.load_commands(endian, data, 0).ok()?;
        while let Some(command) = commands.next().ok()? {
            if let Some((version, _)) = command.build_version(endian).ok()? {
                let minos = version.minos.get(endian).0;
                program.oldest_macos = format!("{}.{}", minos >> 16, minos >> 8 & 0xff);
            }
            if command.cmd() == LC_CODE_SIGNATURE {
                let place: &LinkeditDataCommand<LittleEndian> = command.data().ok()?;
                let start = place.dataoff.get(endian) as usize;
                let end = start.checked_add(place.datasize.get(endian) as usize)?;
                program.signed = Some((data.get(..start)?, data.get(start..end)?));
            }
        }
        Some(program)
    }
}
