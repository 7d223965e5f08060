// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
/*
 * Real file events for changes that a host made.
 *
 * A virtiofs share changes below the kernel: no system call of this kernel did it, so no watcher (inotify, fanotify)
 * hears of it. This module gives the agent a device through which it says what happened. The kernel forgets what it
 * had cached of the name, looks at the host's file, and calls the same hooks that a system call would have called.
 * Nothing is written: neither content nor times change.
 *
 * The host also reports what was done from in here. Watchers have seen that already, so the module notes the moment
 * of each own change and leaves out what was reported for it.
 *
 * It stays loaded: there is no way to unload it.
 */
#include <linux/bitmap.h>
#include <linux/bsearch.h>
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/hash.h>
#include <linux/magic.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/spinlock.h>
#include <linux/stringhash.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "cove_fsnotify.h"

/* One change is told at a time, by this task: what its hooks cause is not the guest's own doing. */
static DEFINE_MUTEX(telling);
static struct task_struct *teller;

/* ---- What was done from in here ------------------------------------------------------------------------------- */

#define OWN_BITS 17
#define OWN_CHANGES (FS_CREATE | FS_DELETE | FS_MOVED_FROM | FS_MOVED_TO | FS_MODIFY | FS_ATTRIB)

/*
 * The last own change of a name or of a file, found by a hash of what it is. A newer one with the same place pushes
 * an older one out: then its echo is told once more, which is harmless.
 */
struct own_change {
	u64 key;
	u64 when;	/* nanoseconds; the lowest bit tells that the name was there afterwards */
	u64 inode;	/* what has the name since, by number; 0 for what is no name */
};

static struct own_change *own_changes;
static DEFINE_SPINLOCK(own_lock);
static struct fsnotify_group *own_group;

static u64 key_of_file(const struct inode *inode)
{
	return hash_64((u64)(unsigned long)inode->i_sb ^ hash_64(inode->i_ino, 64), 64) | 1;
}

static u64 key_of_name(const struct inode *folder, const struct qstr *name)
{
	u64 hash = full_name_hash(folder->i_sb, name->name, name->len);

	return hash_64(key_of_file(folder) ^ (hash << 32 | name->len), 64) | 1;
}

static void note(u64 key, bool present, u64 inode)
{
	struct own_change *place = &own_changes[hash_64(key, OWN_BITS)];
	u64 when = (ktime_get_real_ns() & ~1ULL) | present;

	spin_lock(&own_lock);
	place->key = key;
	place->when = when;
	place->inode = inode;
	spin_unlock(&own_lock);
}

/* All of it is 0 for what is not noted. */
static struct own_change noted_whole(u64 key)
{
	struct own_change *place = &own_changes[hash_64(key, OWN_BITS)];
	struct own_change found = {};

	spin_lock(&own_lock);
	if (place->key == key)
		found = *place;
	spin_unlock(&own_lock);
	return found;
}

/* Returns 0 for what is not noted. */
static u64 noted(u64 key)
{
	return noted_whole(key).when;
}

static void strike(u64 key)
{
	struct own_change *place = &own_changes[hash_64(key, OWN_BITS)];

	spin_lock(&own_lock);
	if (place->key == key)
		place->when = 0;
	spin_unlock(&own_lock);
}

static int own_event(struct fsnotify_group *group, u32 mask, const void *data, int data_type, struct inode *dir,
		     const struct qstr *name, u32 cookie, struct fsnotify_iter_info *iter_info)
{
	struct inode *inode = fsnotify_data_inode(data, data_type);

	if (READ_ONCE(teller) == current)
		return 0;
	if (mask & (FS_CREATE | FS_MOVED_TO | FS_DELETE | FS_MOVED_FROM)) {
		if (dir && name)
			note(key_of_name(dir, name), mask & (FS_CREATE | FS_MOVED_TO), inode ? inode->i_ino : 0);
	} else if (inode) {
		note(key_of_file(inode), true, 0);
	}
	return 0;
}

static void free_mark(struct fsnotify_mark *mark)
{
	kfree(mark);
}

static const struct fsnotify_ops own_ops = {
	.handle_event = own_event,
	.free_mark = free_mark,
};

static int follow(struct super_block *sb)
{
	struct fsnotify_mark *mark;
	int error;

	mark = fsnotify_find_mark(sb, FSNOTIFY_OBJ_TYPE_SB, own_group);
	if (mark) {
		fsnotify_put_mark(mark);
		return 0;
	}
	mark = kzalloc(sizeof(*mark), GFP_KERNEL);
	if (!mark)
		return -ENOMEM;
	fsnotify_init_mark(mark, own_group);
	mark->mask = OWN_CHANGES | FS_ISDIR | FS_EVENT_ON_CHILD;
	error = fsnotify_add_mark(mark, sb, FSNOTIFY_OBJ_TYPE_SB, 0);
	fsnotify_put_mark(mark);
	return error == -EEXIST ? 0 : error;
}

/* ---- Telling -------------------------------------------------------------------------------------------------- */

/* A name in a folder of a share. */
struct place {
	struct file *file;
	struct dentry *folder;
	char bytes[NAME_MAX + 1];
	struct qstr name;
};

static int open_place(struct place *place, int fd, u64 name, u32 length)
{
	place->file = NULL;
	if (!length || length > NAME_MAX)
		return -EINVAL;
	if (copy_from_user(place->bytes, u64_to_user_ptr(name), length))
		return -EFAULT;
	place->bytes[length] = 0;
	place->file = fget_raw(fd);
	if (!place->file)
		return -EBADF;
	place->folder = place->file->f_path.dentry;
	if (!d_is_dir(place->folder))
		return -ENOTDIR;
	if (strcmp(place->folder->d_sb->s_type->name, "virtiofs"))
		return -EXDEV;
	place->name = (struct qstr)QSTR_INIT(place->bytes, length);
	return 0;
}

static void close_place(struct place *place)
{
	if (place->file)
		fput(place->file);
}

/* The inode that this kernel knew by that name, with a reference; NULL if it knew none. Forgets the name. */
static struct inode *forget(struct place *place, u64 still)
{
	struct dentry *dentry = d_hash_and_lookup(place->folder, &place->name);
	struct inode *inode = NULL;

	if (IS_ERR_OR_NULL(dentry))
		return NULL;
	if (d_is_positive(dentry))
		inode = igrab(d_inode(dentry));
	/*
	 * A mount on it hides what the host has, and must not be lost. What has that name still was looked up since.
	 * A folder comes back as the same dentry when it is looked up again: its children and mounts stay.
	 */
	if (!d_mountpoint(dentry) && !(inode && still && inode->i_ino == still))
		d_drop(dentry);
	dput(dentry);
	return inode;
}

/* Asks the host for what has that name. The result may be negative. */
static struct dentry *look(struct place *place)
{
	return lookup_one_unlocked(mnt_idmap(place->file->f_path.mnt), place->bytes, place->folder, place->name.len);
}

static void emit_name(struct place *place, struct dentry *dentry, u32 mask, u32 cookie)
{
	fsnotify_name(mask, dentry, FSNOTIFY_EVENT_DENTRY, d_inode(place->folder), &place->name, cookie);
}

/* For watchers of the file that had the name before. */
static void emit_gone(struct inode *inode, bool last)
{
	if (!S_ISDIR(inode->i_mode))
		fsnotify_inode(inode, FS_ATTRIB);
	if (last || S_ISDIR(inode->i_mode))
		fsnotify_inoderemove(inode);
}

/* The number of an inode that is sought, and it, with a reference, once it is found to be watched. */
struct sought {
	u64 number;
	struct inode *inode;
};

static int by_number(const void *one, const void *other)
{
	u64 a = ((const struct sought *)one)->number, b = ((const struct sought *)other)->number;

	return a < b ? -1 : a > b;
}

/*
 * The kernel finds no inode of a share by its number, so all are walked through. Those numbers that were watched at
 * the last walk are remembered for a moment, by their hash: of a burst of files that nobody watches, one walks.
 */
#define SEEN_BITS 16
#define SEEN_FOR (HZ / 10)

static DECLARE_BITMAP(seen_watched, 1 << SEEN_BITS);
static struct super_block *seen_in;
static unsigned long seen_at;

/* Looks for all of them at once; they are in the order of their numbers. With `telling` held. */
static void find_all(struct super_block *sb, struct sought *all, u32 count)
{
	struct inode *inode;

	bitmap_zero(seen_watched, 1 << SEEN_BITS);
	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		struct sought key = { .number = inode->i_ino }, *found;

		if (!READ_ONCE(inode->i_fsnotify_mask))
			continue;
		__set_bit(hash_64(inode->i_ino, SEEN_BITS), seen_watched);
		found = bsearch(&key, all, count, sizeof(*all), by_number);
		if (found && !found->inode)
			found->inode = igrab(inode);
	}
	spin_unlock(&sb->s_inode_list_lock);
	seen_in = sb;
	seen_at = jiffies;
}

/* The inode with that number, if somebody watches it; with a reference. */
static struct inode *find_watched(struct super_block *sb, u64 number)
{
	struct sought one = { .number = number };

	if (!number)
		return NULL;
	if (seen_in == sb && time_before(jiffies, seen_at + SEEN_FOR) &&
	    !test_bit(hash_64(number, SEEN_BITS), seen_watched))
		return NULL;
	find_all(sb, &one, 1);
	return one.inode;
}

static bool watched(const struct place *place, const struct inode *inode)
{
	return d_inode(place->folder)->i_fsnotify_mask || (inode && inode->i_fsnotify_mask);
}

/* Waits for whoever of this kernel is about to change the folder: their change is seen before it is noted. */
static void settle(const struct place *place)
{
	inode_lock_shared(d_inode(place->folder));
	inode_unlock_shared(d_inode(place->folder));
}

static bool own(const struct place *place, const struct inode *inode, u64 after)
{
	u64 name = noted(key_of_name(d_inode(place->folder), &place->name));
	u64 content = inode ? noted(key_of_file(inode)) : 0;

	return ((name & 1) && name >= after) || (content && content >= after);
}

/*
 * Whether this kernel itself gave a file the name that is new to the host. That needs no clock, which an emulated or busy
 * processor reads late: had the host taken the name away since, that would have been told, and the note struck. What
 * was replaced may have got the same number again without that, so there only times tell.
 */
static bool named_here(const struct place *place, const struct cove_change *change)
{
	struct own_change name = noted_whole(key_of_name(d_inode(place->folder), &place->name));

	return change->kind == COVE_CREATED && change->inode && (name.when & 1) && name.inode == change->inode;
}

static int tell_there(const struct cove_change *change, struct place *place)
{
	struct inode *before = forget(place, change->inode);
	struct dentry *dentry = look(place);
	struct inode *inode;
	bool other;
	int result = COVE_TOLD;

	if (IS_ERR(dentry)) {
		iput(before);
		return PTR_ERR(dentry);
	}
	inode = d_inode(dentry);
	other = before && before != inode;
	settle(place);
	if (!inode) {
		result = -ENOENT;
	} else if (named_here(place, change) || own(place, inode, change->own_after)) {
		result = COVE_OWN;
	} else if (!watched(place, inode) && !(other && before->i_fsnotify_mask)) {
		result = COVE_UNWATCHED;
	} else {
		u32 folder = S_ISDIR(inode->i_mode) ? FS_ISDIR : 0;

		emit_name(place, dentry, (change->kind == COVE_REPLACED ? FS_MOVED_TO : FS_CREATE) | folder,
			  change->kind == COVE_REPLACED ? fsnotify_get_cookie() : 0);
		if (change->kind == COVE_CREATED && S_ISREG(inode->i_mode)) {
			struct path path = { .mnt = place->file->f_path.mnt, .dentry = dentry };

			if (i_size_read(inode))
				fsnotify_dentry(dentry, FS_MODIFY);
			fsnotify_path(&path, FS_CLOSE_WRITE);
		}
		if (other)
			emit_gone(before, change->flags & COVE_LAST_LINK);
	}
	/* What the host did last is no longer our own. */
	if (result == COVE_TOLD || result == COVE_UNWATCHED)
		strike(key_of_name(d_inode(place->folder), &place->name));
	dput(dentry);
	iput(before);
	return result;
}

static int tell_same(const struct cove_change *change, struct place *place)
{
	struct dentry *dentry = look(place);
	struct path path = { .mnt = place->file->f_path.mnt };
	struct kstat stat;
	int result;

	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	path.dentry = dentry;
	if (d_is_negative(dentry)) {
		result = -ENOENT;
		goto out;
	}
	/* Asks the host, so that size and times are known before a watcher asks for them. */
	result = vfs_getattr(&path, &stat, STATX_BASIC_STATS, AT_STATX_FORCE_SYNC);
	if (result)
		goto out;
	if (own(place, d_inode(dentry), change->own_after)) {
		result = COVE_OWN;
	} else if (!watched(place, d_inode(dentry))) {
		result = COVE_UNWATCHED;
	} else if (change->kind == COVE_ATTRIBUTES) {
		fsnotify_dentry(dentry, FS_ATTRIB);
	} else {
		fsnotify_dentry(dentry, FS_MODIFY);
		fsnotify_path(&path, FS_CLOSE_WRITE);
	}
out:
	dput(dentry);
	return result;
}

static int tell_deleted(const struct cove_change *change, struct place *place)
{
	struct inode *before;
	struct dentry *dentry;
	int result = COVE_TOLD;
	u64 name;

	settle(place);
	name = noted(key_of_name(d_inode(place->folder), &place->name));
	/* Deleted from in here, and that after the host last saw the file. */
	if (name && !(name & 1) && name >= change->own_after)
		return COVE_OWN;
	before = forget(place, 0);
	/* Who looked meanwhile made the kernel forget it, but not those who watch it. */
	if (!before)
		before = find_watched(place->folder->d_sb, change->inode);
	dentry = look(place);
	if (IS_ERR(dentry)) {
		iput(before);
		return PTR_ERR(dentry);
	}
	if (!watched(place, before)) {
		result = COVE_UNWATCHED;
	} else {
		bool folder = before ? S_ISDIR(before->i_mode) : change->flags & COVE_IS_FOLDER;

		emit_name(place, dentry, FS_DELETE | (folder ? FS_ISDIR : 0), 0);
		if (before && before != d_inode(dentry))
			emit_gone(before, change->flags & COVE_LAST_LINK);
	}
	strike(key_of_name(d_inode(place->folder), &place->name));
	dput(dentry);
	iput(before);
	return result;
}

static int tell_moved(const struct cove_change *change, struct place *from, struct place *to)
{
	struct inode *moved, *before, *inode;
	struct dentry *dentry;
	int result = COVE_TOLD;

	settle(to);
	/* Before anything is forgotten: the old name may be another file's by now. */
	if (own(to, NULL, change->own_after))
		return COVE_OWN;
	moved = forget(from, 0);
	before = forget(to, change->inode);
	dentry = look(to);
	if (IS_ERR(dentry)) {
		iput(moved);
		iput(before);
		return PTR_ERR(dentry);
	}
	inode = d_inode(dentry);
	if (!inode) {
		result = -ENOENT;
	} else if (own(to, inode, change->own_after)) {
		result = COVE_OWN;
	} else if (!watched(from, NULL) && !watched(to, inode) && !(before && before->i_fsnotify_mask)) {
		result = COVE_UNWATCHED;
	} else {
		u32 folder = S_ISDIR(inode->i_mode) ? FS_ISDIR : 0;
		u32 cookie = fsnotify_get_cookie();

		/*
		 * FS_RENAME, which fanotify alone knows, is left out: its hook reads the parent of the dentry, which only
		 * the locks of a real rename keep in place.
		 */
		emit_name(from, dentry, FS_MOVED_FROM | folder, cookie);
		emit_name(to, dentry, FS_MOVED_TO | folder, cookie);
		if (before && before != inode)
			emit_gone(before, change->flags & COVE_LAST_LINK);
		fsnotify_inode(inode, FS_MOVE_SELF);
	}
	if (result == COVE_TOLD || result == COVE_UNWATCHED) {
		strike(key_of_name(d_inode(from->folder), &from->name));
		strike(key_of_name(d_inode(to->folder), &to->name));
	}
	dput(dentry);
	iput(moved);
	iput(before);
	return result;
}

static int tell(const struct cove_change *change, struct place *from, struct place *to)
{
	int result = open_place(from, change->folder, change->name, change->name_length);

	if (result)
		return result;
	switch (change->kind) {
	case COVE_CREATED:
	case COVE_REPLACED:
		return tell_there(change, from);
	case COVE_MODIFIED:
	case COVE_ATTRIBUTES:
		return tell_same(change, from);
	case COVE_DELETED:
		return tell_deleted(change, from);
	case COVE_MOVED:
		result = open_place(to, change->new_folder, change->new_name, change->new_name_length);
		return result ? result : tell_moved(change, from, to);
	default:
		return -EINVAL;
	}
}

static long tell_from_user(void __user *argument)
{
	struct cove_change change;
	struct place *places;
	long result;

	if (copy_from_user(&change, argument, sizeof(change)))
		return -EFAULT;
	places = kcalloc(2, sizeof(*places), GFP_KERNEL);
	if (!places)
		return -ENOMEM;
	mutex_lock(&telling);
	WRITE_ONCE(teller, current);
	result = tell(&change, &places[0], &places[1]);
	WRITE_ONCE(teller, NULL);
	mutex_unlock(&telling);
	close_place(&places[0]);
	close_place(&places[1]);
	kfree(places);
	return result;
}

/*
 * Its folder is gone, so there is no place to look at, and the kernel may have forgotten all of it. But who watches
 * keeps an inode, and that is found by its number.
 */
static int tell_gone(struct inode *folder, struct inode *inode, const struct cove_gone_name *gone, char *bytes)
{
	struct qstr name = QSTR_INIT(bytes, gone->length);
	u64 own = folder ? noted(key_of_name(folder, &name)) : 0;
	int told = 0;

	if (!own || (own & 1) || own < gone->own_after) {
		if (folder)
			fsnotify_name(FS_DELETE | (gone->flags & COVE_IS_FOLDER ? FS_ISDIR : 0), inode ? inode : folder,
				      FSNOTIFY_EVENT_INODE, folder, &name, 0);
		if (inode)
			emit_gone(inode, gone->flags & COVE_LAST_LINK);
		told = folder || inode;
	}
	if (folder)
		strike(key_of_name(folder, &name));
	return told;
}

static struct inode *among(const struct sought *all, u32 count, u64 number)
{
	struct sought key = { .number = number }, *found = bsearch(&key, all, count, sizeof(key), by_number);

	return found ? found->inode : NULL;
}

static int tell_all_gone(struct super_block *sb, const struct cove_gone *gone, const struct cove_gone_name *names,
			 char *bytes)
{
	u32 at, count = gone->count + 1;
	struct sought *all = kcalloc(count, sizeof(*all), GFP_KERNEL);
	struct inode *folder;
	int told = 0;

	if (!all)
		return -ENOMEM;
	for (at = 0; at < gone->count; at++)
		all[at].number = names[at].inode;
	all[gone->count].number = gone->folder;
	sort(all, count, sizeof(*all), by_number, NULL);
	find_all(sb, all, count);
	folder = among(all, count, gone->folder);
	for (at = 0; at < gone->count; at++) {
		u32 length = names[at].length;

		if (!length || length > NAME_MAX)
			continue;
		if (copy_from_user(bytes, u64_to_user_ptr(names[at].name), length))
			continue;
		bytes[length] = 0;
		told += tell_gone(folder, among(all, count, names[at].inode), &names[at], bytes);
	}
	for (at = 0; at < count; at++)
		iput(all[at].inode);
	kfree(all);
	return told;
}

static long gone_from_user(void __user *argument)
{
	struct cove_gone_name *names;
	struct cove_gone gone;
	struct file *file;
	char *bytes;
	long result;

	if (copy_from_user(&gone, argument, sizeof(gone)))
		return -EFAULT;
	if (gone.count > COVE_MAX_GONE)
		return -EINVAL;
	names = memdup_user(u64_to_user_ptr(gone.names), gone.count * sizeof(*names));
	if (IS_ERR(names))
		return PTR_ERR(names);
	bytes = kmalloc(NAME_MAX + 1, GFP_KERNEL);
	file = fget_raw(gone.within);
	if (!bytes) {
		result = -ENOMEM;
	} else if (!file) {
		result = -EBADF;
	} else {
		mutex_lock(&telling);
		WRITE_ONCE(teller, current);
		result = tell_all_gone(file->f_path.dentry->d_sb, &gone, names, bytes);
		WRITE_ONCE(teller, NULL);
		mutex_unlock(&telling);
	}
	if (file)
		fput(file);
	kfree(bytes);
	kfree(names);
	return result;
}

/* What inotify itself does when its queue is full. */
static int overflow(struct file *file)
{
	struct fsnotify_group *group;
	struct dentry *dentry = file->f_path.dentry;

	if (dentry->d_sb->s_magic != ANON_INODE_FS_MAGIC || strcmp(dentry->d_name.name, "inotify"))
		return -EINVAL;
	group = file->private_data;
	spin_lock(&group->notification_lock);
	if (!group->shutdown && list_empty(&group->overflow_event->list)) {
		group->q_len++;
		list_add_tail(&group->overflow_event->list, &group->notification_list);
	}
	spin_unlock(&group->notification_lock);
	wake_up(&group->notification_waitq);
	kill_fasync(&group->fsn_fa, SIGIO, POLL_IN);
	return 0;
}

static long device_ioctl(struct file *device, unsigned int command, unsigned long argument)
{
	struct file *file;
	long result;
	s32 fd;

	if (command == COVE_TELL)
		return tell_from_user((void __user *)argument);
	if (command == COVE_GONE)
		return gone_from_user((void __user *)argument);
	if (command != COVE_FOLLOW && command != COVE_OVERFLOW)
		return -ENOTTY;
	if (get_user(fd, (s32 __user *)argument))
		return -EFAULT;
	file = fget_raw(fd);
	if (!file)
		return -EBADF;
	result = command == COVE_FOLLOW ? follow(file->f_path.dentry->d_sb) : overflow(file);
	fput(file);
	return result;
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "cove-fsnotify",
	.fops = &device_operations,
	.mode = 0600,
};

static int __init start(void)
{
	int error;

	own_changes = vzalloc(sizeof(*own_changes) << OWN_BITS);
	if (!own_changes)
		return -ENOMEM;
	own_group = fsnotify_alloc_group(&own_ops, 0);
	if (IS_ERR(own_group)) {
		error = PTR_ERR(own_group);
		goto table;
	}
	error = misc_register(&device);
	if (!error)
		return 0;
	fsnotify_put_group(own_group);
table:
	vfree(own_changes);
	return error;
}
module_init(start);

MODULE_DESCRIPTION("File events for changes that a host made in a shared folder");
MODULE_LICENSE("Dual MIT/GPL");
