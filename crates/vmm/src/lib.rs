//! Boots virtual machines on whatever hypervisor the host has.
