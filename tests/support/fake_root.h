#pragma once
/* A folder used as "/" in tests of code that reads /proc and /sys. */

/* Makes an empty folder; a failed step fails the test. The path is valid until the next call. */
const char *fake_root_new(void);
/* Writes the file root/path and creates its folders. */
void fake_root_write(const char *root, const char *path, const char *content);
void fake_root_remove(const char *root);
