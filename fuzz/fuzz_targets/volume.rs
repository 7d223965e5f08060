//! The archive of a volume from another engine: read in pieces of any size, it is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use migration::{ArchiveError, Inventory, InventoryReader};

fn read(bytes: &[u8], piece: usize) -> Result<Inventory, ArchiveError> {
    let mut reader = InventoryReader::default();
    for piece in bytes.chunks(piece) {
        reader.push(piece)?;
    }
    reader.finish()
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, usize::MAX);
    let pieces = read(bytes, 7);
    assert_eq!(whole.is_ok(), pieces.is_ok());
    if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
        assert_eq!(whole.difference(&pieces), None);
    }
});
