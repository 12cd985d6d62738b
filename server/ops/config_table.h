#pragma once
/* The table of config.h as data, for the parts of the configuration: config.c reads values into the
 * struct, config_print.c shows them. Not for others. */
#include "config.h"

/* Where a value came from, the strongest last; also how names are spelled there. */
enum config_source {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENVIRONMENT,
    CONFIG_FROM_FLAG,
    CONFIG_N_SOURCES
};

enum config_type { CONFIG_TEXT, CONFIG_PICK, CONFIG_UINT };

struct config_option {
    const char *name; /* as in struct config */
    enum config_type type;
    size_t offset; /* in struct config */
    const char *help;
    const char *text;                /* TEXT: the default; PICK: the choices, "a|b|c" */
    const char *placeholder;         /* TEXT: in --help and in messages */
    bool (*check)(const char *text); /* TEXT: or NULL */
    uint64_t number;                 /* UINT: the default; PICK: its index */
    uint64_t min, max;               /* UINT */
};

#define X(...) +1
enum { CONFIG_N_OPTIONS = 0 CONFIG_OPTIONS(X, X, X) };
#undef X
extern const struct config_option config_options[CONFIG_N_OPTIONS];

/* Names that are no values: all are flags, config is in the environment too. */
enum config_special {
    CONFIG_FILE,
    CONFIG_PRINT,
    CONFIG_HEALTH,
    CONFIG_VERSION,
    CONFIG_HELP,
    CONFIG_N_SPECIALS
};
extern const char *const config_specials[CONFIG_N_SPECIALS];

#define CONFIG_NAME_MAX 64

/* "max_inputs" as --max-inputs, ELMOD_MAX_INPUTS or max_inputs (file, default). Returns `dst`. */
const char *config_spell(char dst[static CONFIG_NAME_MAX], enum config_source source,
                         const char *name);

/* The index of the option, or of the special, whose spelling is these bytes; or the table's length.
 */
size_t config_find_option(enum config_source source, const char *text, size_t n_bytes);
size_t config_find_special(enum config_source source, const char *text, size_t n_bytes);

/* The nearest known spelling, or NULL when none is within three edits. */
const char *config_suggest(char dst[static CONFIG_NAME_MAX], enum config_source source,
                           const char *text, size_t n_bytes);

/* The choices of "a|b|c" by index: the text, not NUL-terminated, or NULL behind the last. */
const char *config_choice(const char *choices, uint64_t index, size_t *ret_n_bytes);

/* --help, and --print-config; `sources` says where each option's value came from. */
void config_print_help(FILE *out);
void config_print_values(FILE *out, const struct config *config,
                         const enum config_source sources[static CONFIG_N_OPTIONS]);
