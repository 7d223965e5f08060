/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/*
 * What the agent tells the kernel about changes that a host made in a shared folder.
 *
 * `crates/agent/src/files/kernel.rs` has the same numbers and the same layout; a test holds them together.
 */
#ifndef COVE_FSNOTIFY_H
#define COVE_FSNOTIFY_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* What happened to a name in a folder. */
enum cove_change_kind {
	COVE_CREATED = 1,	/* it is there, and was not before */
	COVE_REPLACED = 2,	/* another file has this name now, as after an editor's atomic save */
	COVE_MODIFIED = 3,	/* its content changed */
	COVE_ATTRIBUTES = 4,	/* its mode, owner or times changed */
	COVE_DELETED = 5,	/* it is there no more */
	COVE_MOVED = 6,		/* it has another name, or is in another folder */
};

/* It is, or was, a folder. */
#define COVE_IS_FOLDER 0x1
/* The file that had the (new) name before had no other name: it is gone. */
#define COVE_LAST_LINK 0x2

struct cove_change {
	__s32 folder;		/* descriptor of the folder; one of O_PATH does */
	__s32 new_folder;	/* COVE_MOVED alone */
	__u64 name;		/* pointer to the name, without a zero at its end */
	__u64 new_name;		/* COVE_MOVED alone */
	__u32 name_length;
	__u32 new_name_length;
	__u32 kind;		/* enum cove_change_kind */
	__u32 flags;
	__u64 inode;		/* inode number of what has the (new) name now, or of what was deleted; 0 if unknown */
	__u64 own_after;	/* what this kernel did there itself at this time or later was the change:
				 * nanoseconds since 1970 by this kernel's clock */
};

/* A name that went together with its folder. */
struct cove_gone_name {
	__u64 inode;		/* inode number of what had it */
	__u64 name;		/* pointer to the name, without a zero at its end */
	__u32 length;
	__u32 flags;		/* COVE_IS_FOLDER, COVE_LAST_LINK */
	__u64 own_after;	/* as of a change */
};

/* Names at most in one request. */
#define COVE_MAX_GONE 512

/* Names of a folder that cannot be opened any more, because it is gone itself. */
struct cove_gone {
	__s32 within;		/* any descriptor of that file system */
	__u32 count;
	__u64 folder;		/* inode number of the folder */
	__u64 names;		/* pointer to `count` of struct cove_gone_name */
};

/* What COVE_TELL returns. */
#define COVE_TOLD 0		/* watchers know */
#define COVE_OWN 1		/* they knew: it was done from in here */
#define COVE_UNWATCHED 2	/* nobody watches there */

/* Tells of one change. Fails with ENOENT when its name came and went meanwhile. */
#define COVE_TELL _IOW(0xc0, 1, struct cove_change)
/* Begins to note what is done from in here in the file system of this descriptor. */
#define COVE_FOLLOW _IOW(0xc0, 2, __s32)
/* Puts an overflow into the queue of this inotify descriptor: its reader has to look for itself. */
#define COVE_OVERFLOW _IOW(0xc0, 3, __s32)
/* Tells of names that went together with their folder. Returns of how many watchers know now. */
#define COVE_GONE _IOW(0xc0, 4, struct cove_gone)

#endif
