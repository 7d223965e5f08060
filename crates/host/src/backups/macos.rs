//! Time Machine's mark: an extended attribute.

pub(super) const MARK: Option<&str> = Some("com.apple.metadata:com_apple_backup_excludeItem");
