#include "work_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "util/text_file.h"

#define STATE "state.json"
#define LOCK  "lock"

struct work_folder {
    char *out, *path; /* owned */
    int lock;         /* file descriptor; -1: not held */
};

static char *join(const char *a, const char *b, const char *c)
{
    size_t n = strlen(a) + strlen(b) + strlen(c) + 1;
    char *joined = malloc(n);
    if (joined)
        snprintf(joined, n, "%s%s%s", a, b, c);
    return joined;
}

char *work_folder_path(const struct work_folder *folder, const char *name)
{
    return join(folder->path, "/", name);
}

/* ---- Removing ---- */

static void close_folder(DIR *folder)
{
    if (folder)
        closedir(folder);
}
DEFINE_AUTO(close_folder, DIR *);

/* The files of a folder but one (NULL: all). What cannot be removed stays. */
static void remove_files(const char *path, const char *but)
{
    AUTO(close_folder) DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        if (!but || strcmp(entry->d_name, but))
            unlinkat(dirfd(folder), entry->d_name, 0);
}

/* The lock goes last: with it a folder is a run's, and whatever else lies there. */
static void remove_folder(const char *path)
{
    remove_files(path, LOCK);
    remove_files(path, NULL);
    rmdir(path);
}

/* All that a run has made in it, but the lock. */
static int clear(const struct work_folder *folder, struct elmo_error *err)
{
    AUTO(mem_free) char *result = work_folder_path(folder, WORK_FOLDER_RESULT);
    if (!result)
        return elmo_fail_nomem(err);
    remove_files(result, NULL);
    remove_files(folder->path, LOCK);
    return 0;
}

/* ---- Making and locking ---- */

/* Whether the folder has a lock, or nothing at all, as a run makes it. */
static bool is_of_a_run(const char *path)
{
    AUTO(close_folder) DIR *folder = opendir(path);
    struct dirent *entry;
    bool has_lock = false, has_others = false;
    while (folder && (entry = readdir(folder))) {
        if (strcmp(entry->d_name, LOCK) == 0)
            has_lock = true;
        else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            has_others = true;
    }
    return has_lock || !has_others;
}

static int take_lock(struct work_folder *folder, struct elmo_error *err)
{
    AUTO(mem_free) char *path = work_folder_path(folder, LOCK);
    if (!path)
        return elmo_fail_nomem(err);
    folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (folder->lock < 0)
        return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", path, strerror(errno));
    /* Some network file systems have no locks: there it goes without. */
    if (flock(folder->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return elmo_fail(err, ELMO_E_IO, "another run is at work on '%.200s'", folder->out);
    return 0;
}

static int read_state(const struct work_folder *folder, bool resume, json_t **ret_state,
                      struct elmo_error *err)
{
    AUTO(mem_free) char *path = work_folder_path(folder, STATE), *text = NULL;
    if (!path)
        return elmo_fail_nomem(err);
    *ret_state = NULL;
    if (access(path, F_OK))
        return clear(folder, err); /* killed before its first checkpoint: nothing to lose */
    if (!resume)
        return elmo_fail(err, ELMO_E_IO,
                         "'%.200s' is of a run that did not end: --resume goes on, or remove it",
                         folder->path);
    int r = text_file_read(&text, path, err);
    if (r)
        return r;
    *ret_state = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(*ret_state)) {
        json_decref(*ret_state);
        *ret_state = NULL;
        return elmo_fail(err, ELMO_E_FORMAT, "'%.200s' is damaged", path);
    }
    return 0;
}

int work_folder_open(struct work_folder **ret_folder, const char *out, bool resume,
                     json_t **ret_state, struct elmo_error *err)
{
    AUTO(work_folder_free) struct work_folder *folder = calloc(1, sizeof *folder);
    if (!folder)
        return elmo_fail_nomem(err);
    folder->lock = -1;
    folder->out = strdup(out);
    folder->path = join(out, ".work", "");
    if (!folder->out || !folder->path)
        return elmo_fail_nomem(err);
    if (!access(out, F_OK))
        return elmo_fail(err, ELMO_E_IO, "'%.200s' is there already", out);
    if (mkdir(folder->path, 0777) && errno != EEXIST)
        return elmo_fail(err, ELMO_E_IO, "cannot make '%.200s': %s", folder->path, strerror(errno));
    if (!is_of_a_run(folder->path))
        return elmo_fail(err, ELMO_E_IO, "'%.200s' is no folder of a run: remove it, or its files",
                         folder->path);
    int r = take_lock(folder, err);
    if (!r)
        r = read_state(folder, resume, ret_state, err);
    if (r)
        return r;
    *ret_folder = STEAL(folder);
    return 0;
}

void work_folder_free(struct work_folder *folder)
{
    if (!folder)
        return;
    if (folder->lock >= 0)
        close(folder->lock);
    free(folder->path);
    free(folder->out);
    free(folder);
}

/* ---- Checkpoints ---- */

int work_folder_save(struct work_folder *folder, const json_t *state, struct elmo_error *err)
{
    AUTO(mem_free)
    char *path = work_folder_path(folder, STATE), *text = json_dumps(state, JSON_INDENT(1));
    return path && text ? text_file_write(path, text, err) : elmo_fail_nomem(err);
}

/* ---- The end ---- */

/* A name is on the disk once its folder is. */
static void sync_folder_of(const char *path)
{
    AUTO(mem_free) char *copy = strdup(path);
    char *slash = copy ? strrchr(copy, '/') : NULL;
    if (!copy)
        return;
    if (slash)
        slash[slash == copy] = '\0';
    int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd); /* not every file system can: then the next one it does counts */
    close(fd);
}

int work_folder_publish(struct work_folder *folder, const char *name, struct elmo_error *err)
{
    AUTO(mem_free) char *from = work_folder_path(folder, name);
    if (!from)
        return elmo_fail_nomem(err);
    if (rename(from, folder->out))
        return elmo_fail(err, ELMO_E_IO, "cannot write '%.200s': %s", folder->out, strerror(errno));
    sync_folder_of(folder->out);
    remove_folder(folder->path);
    return 0;
}

bool work_folder_is_done(const char *out)
{
    if (access(out, F_OK))
        return false;
    AUTO(mem_free) char *path = join(out, ".work", "");
    if (path && is_of_a_run(path))
        remove_folder(path);
    return true;
}
