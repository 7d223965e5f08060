//! The kernel file: what the hypervisor starts.
//!
//! arm64's `vmlinuz` is an uncompressed `Image` already. amd64's is a `bzImage`, whose decompressor is slow on an
//! emulated CPU: the kernel inside it is taken out, and starts through its PVH entry point.

use super::arch::Arch;

/// First bytes of a zstd frame.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ELF: [u8; 4] = *b"\x7fELF";
/// At 0x38 of an arm64 `Image`.
const ARM64: [u8; 4] = *b"ARM\x64";

/// The kernel package holds something else than expected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// Not the format of this processor's kernels.
    #[error("the kernel of {arch} is not {expected}")]
    Format { arch: Arch, expected: &'static str },
    /// Debian compresses its kernel in another way now.
    #[error("the kernel inside the bzImage is not compressed with zstd")]
    Compression,
    /// The compressed kernel is damaged.
    #[error("could not decompress the kernel inside the bzImage")]
    Decompress(#[from] std::io::Error),
}

/// Makes the kernel file out of Debian's `vmlinuz`.
pub(crate) fn bootable(arch: Arch, vmlinuz: Vec<u8>) -> Result<Vec<u8>, KernelError> {
    match arch {
        Arch::Amd64 => extract(&vmlinuz),
        Arch::Arm64 if vmlinuz.get(0x38..0x3c) == Some(&ARM64) => Ok(vmlinuz),
        Arch::Arm64 => Err(KernelError::Format { arch, expected: "an uncompressed Image" }),
    }
}

/// Takes the ELF kernel out of a bzImage (offsets: the kernel's Documentation/arch/x86/boot.rst).
fn extract(image: &[u8]) -> Result<Vec<u8>, KernelError> {
    let not_bzimage = KernelError::Format { arch: Arch::Amd64, expected: "a bzImage" };
    let Some(payload) = payload(image) else { return Err(not_bzimage) };
    if !payload.starts_with(&ZSTD) {
        return Err(KernelError::Compression);
    }
    let kernel = zstd::decode_all(payload)?;
    if kernel.starts_with(&ELF) { Ok(kernel) } else { Err(not_bzimage) }
}

/// The compressed kernel: `setup_sects` says where the protected-mode part starts, `payload_offset` and
/// `payload_length` where in it; the last four bytes are the size of the result, not part of the frame.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        count => usize::from(count),
    };
    let start = (setup_sectors + 1) * 512 + word(0x248)?;
    image.get(start..start + word(0x24c)?.checked_sub(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bzimage(kernel: &[u8]) -> Vec<u8> {
        let frame = zstd::encode_all(kernel, 3).unwrap();
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(frame.len() as u32 + 4).to_le_bytes());
        image.extend([0; 16]);
        image.extend(frame);
        image.extend((kernel.len() as u32).to_le_bytes());
        image.extend(b"what follows the payload");
        image
    }

    #[test]
    fn the_kernel_comes_out_of_a_bzimage() {
        let kernel = b"\x7fELF and the rest".to_vec();
        assert_eq!(bootable(Arch::Amd64, bzimage(&kernel)).unwrap(), kernel);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [bzimage(b"not a kernel"), vec![0; 4096], Vec::new(), bzimage(b"\x7fELF")[..1030].to_vec()]
        {
            assert!(bootable(Arch::Amd64, bad).is_err());
        }
        assert!(bootable(Arch::Arm64, vec![0; 4096]).is_err());
    }

    #[test]
    fn an_arm64_image_stays_as_it_is() {
        let mut image = vec![0; 4096];
        image[0x38..0x3c].copy_from_slice(&ARM64);
        assert_eq!(bootable(Arch::Arm64, image.clone()).unwrap(), image);
    }
}
