//! From a description to the framework's own objects.

use std::fs::File;
use std::os::fd::{IntoRawFd as _, OwnedFd};

use camino::Utf8Path;
use objc2::AnyThread as _;
use objc2::rc::Retained;
use objc2_foundation::{NSArray, NSData, NSDictionary, NSFileHandle, NSString};
use objc2_virtualization::{
    VZBootLoader, VZDirectorySharingDeviceConfiguration, VZDiskImageCachingMode,
    VZDiskImageStorageDeviceAttachment, VZDiskImageSynchronizationMode, VZFileHandleNetworkDeviceAttachment,
    VZFileHandleSerialPortAttachment, VZGenericMachineIdentifier, VZGenericPlatformConfiguration,
    VZLinuxBootLoader, VZLinuxRosettaDirectoryShare, VZLinuxRosettaUnixSocketCachingOptions, VZMACAddress,
    VZMultipleDirectoryShare, VZNATNetworkDeviceAttachment, VZNetworkDeviceAttachment,
    VZNetworkDeviceConfiguration, VZSerialPortConfiguration, VZSharedDirectory, VZStorageDeviceConfiguration,
    VZVirtioBlockDeviceConfiguration, VZVirtioConsoleDeviceSerialPortConfiguration,
    VZVirtioEntropyDeviceConfiguration, VZVirtioFileSystemDeviceConfiguration,
    VZVirtioNetworkDeviceConfiguration, VZVirtioSocketDeviceConfiguration,
    VZVirtioTraditionalMemoryBalloonDeviceConfiguration, VZVirtualMachineConfiguration,
};

use super::{told, url};
use crate::vz::description::{
    Caching, Disk, GenericPlatform, LinuxBoot, MachineDescription, NetworkAttachment, NetworkCard,
    RosettaShare, SHARES_TAG, SharedFolder, Synchronization,
};
use crate::vz::error::{Cause, FrameworkError};
use crate::vz::frames;

type Result<T> = std::result::Result<T, FrameworkError>;

/// The framework's description, which it has found valid, and our end of the network where the machine has one.
pub(super) fn configure(
    description: &MachineDescription,
) -> Result<(Retained<VZVirtualMachineConfiguration>, Option<OwnedFd>)> {
    let disks: Vec<_> = description.disks.iter().map(disk).collect::<Result<_>>()?;
    let mut folders = vec![device(SHARES_TAG, &shares(&description.shares))];
    if let Ok(share) = &description.rosetta {
        folders.push(rosetta(share)?);
    }
    let (network, frames) = network(&description.network)?;
    let console = console(&description.console)?;
    let platform = platform(&description.platform)?;
    // SAFETY: new objects that nobody else holds are given to setters of their types.
    unsafe {
        let configuration = VZVirtualMachineConfiguration::new();
        configuration.setCPUCount(description.cpus as usize);
        configuration.setMemorySize(description.memory);
        configuration.setBootLoader(Some(&boot(&description.boot)));
        configuration.setPlatform(&platform);
        configuration.setStorageDevices(&NSArray::from_retained_slice(&disks));
        configuration.setDirectorySharingDevices(&NSArray::from_retained_slice(&folders));
        configuration.setNetworkDevices(&NSArray::from_retained_slice(&[network]));
        configuration.setSerialPorts(&NSArray::from_retained_slice(&[console]));
        configuration.setSocketDevices(&NSArray::from_retained_slice(&[
            VZVirtioSocketDeviceConfiguration::new().into_super(),
        ]));
        if description.entropy.is_ok() {
            configuration.setEntropyDevices(&NSArray::from_retained_slice(&[
                VZVirtioEntropyDeviceConfiguration::new().into_super(),
            ]));
        }
        if description.balloon.is_ok() {
            configuration.setMemoryBalloonDevices(&NSArray::from_retained_slice(&[
                VZVirtioTraditionalMemoryBalloonDeviceConfiguration::new().into_super(),
            ]));
        }
        configuration.validateWithError().map_err(|error| told(&error))?;
        Ok((configuration, frames))
    }
}

fn boot(boot: &LinuxBoot) -> Retained<VZBootLoader> {
    // SAFETY: file addresses and a string, to an initializer and setters of these types.
    unsafe {
        let loader = VZLinuxBootLoader::initWithKernelURL(VZLinuxBootLoader::alloc(), &url(&boot.kernel));
        loader.setInitialRamdiskURL(Some(&url(&boot.initramfs)));
        loader.setCommandLine(&NSString::from_str(&boot.command_line));
        loader.into_super()
    }
}

fn platform(platform: &GenericPlatform) -> Result<Retained<objc2_virtualization::VZPlatformConfiguration>> {
    let bytes = NSData::with_bytes(&platform.machine_identifier);
    // SAFETY: the initializer says by nil that the bytes are no identifier; the newer setter is used only where the
    // host's facts, which ask for its version, allow nesting.
    unsafe {
        let identifier = VZGenericMachineIdentifier::initWithDataRepresentation(
            VZGenericMachineIdentifier::alloc(),
            &bytes,
        );
        let identifier = identifier.ok_or_else(|| {
            let words = "the identifier in `vz-identity.json` is not one of macOS's; delete that file";
            FrameworkError::new(Cause::InvalidConfiguration, words)
        })?;
        let configuration = VZGenericPlatformConfiguration::new();
        configuration.setMachineIdentifier(&identifier);
        if platform.nested.is_ok() {
            configuration.setNestedVirtualizationEnabled(true);
        }
        Ok(configuration.into_super())
    }
}

fn disk(disk: &Disk) -> Result<Retained<VZStorageDeviceConfiguration>> {
    let caching = match disk.caching {
        Caching::Cached => VZDiskImageCachingMode::Cached,
    };
    let synchronization = match disk.synchronization {
        Synchronization::Fsync => VZDiskImageSynchronizationMode::Fsync,
        Synchronization::Full => VZDiskImageSynchronizationMode::Full,
    };
    // SAFETY: a file address and plain values; the framework opens the file and says so when it cannot.
    unsafe {
        let attachment =
            VZDiskImageStorageDeviceAttachment::initWithURL_readOnly_cachingMode_synchronizationMode_error(
                VZDiskImageStorageDeviceAttachment::alloc(),
                &url(&disk.path),
                disk.read_only,
                caching,
                synchronization,
            )
            .map_err(|error| told(&error))?;
        let device = VZVirtioBlockDeviceConfiguration::initWithAttachment(
            VZVirtioBlockDeviceConfiguration::alloc(),
            &attachment,
        );
        device.setBlockDeviceIdentifier(&NSString::from_str(disk.identifier));
        Ok(device.into_super())
    }
}

/// The folders behind one device, each under its name.
pub(super) fn shares(folders: &[SharedFolder]) -> Retained<objc2_virtualization::VZDirectoryShare> {
    let names: Vec<_> = folders.iter().map(|folder| NSString::from_str(&folder.name)).collect();
    let names: Vec<&NSString> = names.iter().map(|name| &**name).collect();
    // SAFETY: file addresses, plain values and a dictionary of the types that the initializer names.
    unsafe {
        let directories: Vec<_> = folders
            .iter()
            .map(|folder| {
                let address = url(&folder.path);
                VZSharedDirectory::initWithURL_readOnly(
                    VZSharedDirectory::alloc(),
                    &address,
                    folder.read_only,
                )
            })
            .collect();
        let dictionary = NSDictionary::from_retained_objects(&names, &directories);
        VZMultipleDirectoryShare::initWithDirectories(VZMultipleDirectoryShare::alloc(), &dictionary)
            .into_super()
    }
}

fn device(
    tag: &str,
    share: &objc2_virtualization::VZDirectoryShare,
) -> Retained<VZDirectorySharingDeviceConfiguration> {
    // SAFETY: a short string and a share that nobody else holds.
    unsafe {
        let device = VZVirtioFileSystemDeviceConfiguration::initWithTag(
            VZVirtioFileSystemDeviceConfiguration::alloc(),
            &NSString::from_str(tag),
        );
        device.setShare(Some(share));
        device.into_super()
    }
}

fn rosetta(rosetta: &RosettaShare) -> Result<Retained<VZDirectorySharingDeviceConfiguration>> {
    // SAFETY: classes of macOS 13 and 14; the initializers say when they cannot.
    let share = unsafe {
        let share = VZLinuxRosettaDirectoryShare::initWithError(VZLinuxRosettaDirectoryShare::alloc())
            .map_err(|error| told(&error))?;
        if let Ok(socket) = rosetta.cache {
            let caching = VZLinuxRosettaUnixSocketCachingOptions::initWithPath_error(
                VZLinuxRosettaUnixSocketCachingOptions::alloc(),
                &NSString::from_str(socket),
            )
            .map_err(|error| told(&error))?;
            share.setOptions(Some(&caching));
        }
        share
    };
    Ok(device(rosetta.tag, &share.into_super()))
}

fn network(card: &NetworkCard) -> Result<(Retained<VZNetworkDeviceConfiguration>, Option<OwnedFd>)> {
    let (attachment, frames) = attachment(card.attachment)?;
    let address = NSString::from_str(&card.mac.to_string());
    // SAFETY: the initializer says by nil that the string is no address; the attachment belongs to nobody else.
    unsafe {
        let mac = VZMACAddress::initWithString(VZMACAddress::alloc(), &address).ok_or_else(|| {
            FrameworkError::new(Cause::InvalidConfiguration, "the machine's Ethernet address is none")
        })?;
        let device = VZVirtioNetworkDeviceConfiguration::new();
        device.setMACAddress(&mac);
        device.setAttachment(Some(&attachment));
        Ok((device.into_super(), frames))
    }
}

/// What is at the other end of a network card, and our end of it where there is one.
pub(super) fn attachment(
    attachment: NetworkAttachment,
) -> Result<(Retained<VZNetworkDeviceAttachment>, Option<OwnedFd>)> {
    match attachment {
        // SAFETY: an initializer without arguments.
        NetworkAttachment::Nat => Ok((unsafe { VZNATNetworkDeviceAttachment::new() }.into_super(), None)),
        NetworkAttachment::Frames { mtu } => {
            let (machine, network) = frames::pair().map_err(|error| {
                FrameworkError::new(Cause::Network, std::io::Error::from(error).to_string())
            })?;
            // SAFETY: a datagram socket that belongs to the attachment from here on, as the initializer wants it.
            let attachment = unsafe {
                let attachment = VZFileHandleNetworkDeviceAttachment::initWithFileHandle(
                    VZFileHandleNetworkDeviceAttachment::alloc(),
                    &handle(machine),
                );
                attachment.setMaximumTransmissionUnit(isize::try_from(mtu).unwrap_or(isize::MAX));
                attachment
            };
            Ok((attachment.into_super(), Some(network)))
        }
    }
}

fn console(log: &Utf8Path) -> Result<Retained<VZSerialPortConfiguration>> {
    let file = File::options()
        .append(true)
        .create(true)
        .open(log)
        .map_err(|error| FrameworkError::new(Cause::InvalidConfiguration, format!("`{log}`: {error}")))?;
    // SAFETY: a file that belongs to the attachment from here on; nothing is read, so there is no handle for it.
    unsafe {
        let attachment = VZFileHandleSerialPortAttachment::initWithFileHandleForReading_fileHandleForWriting(
            VZFileHandleSerialPortAttachment::alloc(),
            None,
            Some(&handle(file)),
        );
        let console = VZVirtioConsoleDeviceSerialPortConfiguration::new();
        console.setAttachment(Some(&attachment));
        Ok(console.into_super())
    }
}

/// A file that the handle owns and closes.
fn handle(file: impl Into<OwnedFd>) -> Retained<NSFileHandle> {
    let file: OwnedFd = file.into();
    NSFileHandle::initWithFileDescriptor_closeOnDealloc(NSFileHandle::alloc(), file.into_raw_fd(), true)
}
