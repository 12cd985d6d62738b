#include "config_table.h"

#include <stddef.h>
#include <string.h>

#include "protocol/origins.h"
#include "util/address.h"

static bool is_address(const char *text)
{
    struct address address;
    return address_parse(text, &address);
}

#define OPTION(field, kind) \
    .name = #field, .type = CONFIG_##kind, .offset = offsetof(struct config, field)
#define TEXT(field, default_, check_, placeholder_, help_)                        \
    {OPTION(field, TEXT), .help = (help_), .text = (default_), .check = (check_), \
     .placeholder = (placeholder_)},
#define PICK(field, enum_, default_, choices_, help_) \
    {OPTION(field, PICK), .help = (help_), .text = (choices_), .number = (default_)},
#define UINT(field, default_, min_, max_, help_) \
    {OPTION(field, UINT), .help = (help_), .number = (default_), .min = (min_), .max = (max_)},
const struct config_option config_options[CONFIG_N_OPTIONS] = {CONFIG_OPTIONS(TEXT, PICK, UINT)};
#undef OPTION
#undef TEXT
#undef PICK
#undef UINT

/* config.c stores the index of a choice as an unsigned. */
#define OTHER(...)
#define PICK(field, enum_, ...) _Static_assert(sizeof(enum_) == sizeof(unsigned), #field);
CONFIG_OPTIONS(OTHER, PICK, OTHER)
#undef OTHER
#undef PICK

const char *const config_specials[CONFIG_N_SPECIALS] = {
    [CONFIG_FILE] = "config",     [CONFIG_PRINT] = "print_config", [CONFIG_HEALTH] = "health_check",
    [CONFIG_VERSION] = "version", [CONFIG_HELP] = "help",
};

const char *config_spell(char dst[static CONFIG_NAME_MAX], enum config_source source,
                         const char *name)
{
    const char *prefix = source == CONFIG_FROM_FLAG          ? "--"
                         : source == CONFIG_FROM_ENVIRONMENT ? "ELMOD_"
                                                             : "";
    snprintf(dst, CONFIG_NAME_MAX, "%s%s", prefix, name);
    for (char *c = dst + strlen(prefix); *c; c++) {
        if (source == CONFIG_FROM_FLAG && *c == '_')
            *c = '-';
        else if (source == CONFIG_FROM_ENVIRONMENT && *c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
    return dst;
}

static bool is_spelled(enum config_source source, const char *name, const char *text,
                       size_t n_bytes)
{
    char spelled[CONFIG_NAME_MAX];
    config_spell(spelled, source, name);
    return strlen(spelled) == n_bytes && memcmp(spelled, text, n_bytes) == 0;
}

size_t config_find_option(enum config_source source, const char *text, size_t n_bytes)
{
    size_t i = 0;
    while (i < CONFIG_N_OPTIONS && !is_spelled(source, config_options[i].name, text, n_bytes))
        i++;
    return i;
}

static size_t n_specials(enum config_source source)
{
    if (source == CONFIG_FROM_FLAG)
        return CONFIG_N_SPECIALS;
    return source == CONFIG_FROM_ENVIRONMENT ? CONFIG_FILE + 1 : 0;
}

size_t config_find_special(enum config_source source, const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_specials(source); i++)
        if (is_spelled(source, config_specials[i], text, n_bytes))
            return i;
    return CONFIG_N_SPECIALS;
}

static size_t min_of_3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein distance, one row of the table at a time; CONFIG_NAME_MAX where a text is longer. */
static size_t edit_distance(const char *a, size_t n_a, const char *b)
{
    size_t row[CONFIG_NAME_MAX], n_b = strlen(b);
    if (n_a >= CONFIG_NAME_MAX)
        return CONFIG_NAME_MAX;
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t above = row[j];
            row[j] = min_of_3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n_b];
}

const char *config_suggest(char dst[static CONFIG_NAME_MAX], enum config_source source,
                           const char *text, size_t n_bytes)
{
    size_t best = 4; /* more than three edits is another word */
    for (size_t i = 0; i < CONFIG_N_OPTIONS + n_specials(source); i++) {
        char spelled[CONFIG_NAME_MAX];
        const char *name =
            i < CONFIG_N_OPTIONS ? config_options[i].name : config_specials[i - CONFIG_N_OPTIONS];
        size_t distance = edit_distance(text, n_bytes, config_spell(spelled, source, name));
        if (distance < best) {
            best = distance;
            memcpy(dst, spelled, sizeof spelled);
        }
    }
    return best < 4 ? dst : NULL;
}

const char *config_choice(const char *choices, uint64_t index, size_t *ret_n_bytes)
{
    for (; index > 0; index--) {
        choices = strchr(choices, '|');
        if (!choices)
            return NULL;
        choices++;
    }
    *ret_n_bytes = strcspn(choices, "|");
    return choices;
}
