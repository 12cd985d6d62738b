#pragma once
/* A folder that stands for "/" in tests of what reads /proc and /sys. */

/* Makes an empty folder; a failed step fails the test. The path is valid until the next call. */
const char *fake_root_new(void);
/* Writes root/path, folders included. */
void fake_root_write(const char *root, const char *path, const char *content);
void fake_root_remove(const char *root);
