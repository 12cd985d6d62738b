/* Values are applied from the weakest source to the strongest, each checked as it is applied, so
 * that a wrong value is reported even where a stronger source hides it. */
#include "config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#include "config_table.h"
#include "version.h"

struct loader {
    struct config config;
    enum config_source sources[CONFIG_N_OPTIONS];
    /* What environment and flags say: borrowed, NULL where nothing. */
    const char *texts[CONFIG_N_SOURCES][CONFIG_N_OPTIONS];
    const char *file_paths[CONFIG_N_SOURCES];
    bool asked[CONFIG_N_SPECIALS]; /* by flag */
    FILE *err;
};

void config_done(struct config *config)
{
#define TEXT(field, ...) free(config->field);
#define NOT_OWNED(...)
    CONFIG_OPTIONS(TEXT, NOT_OWNED, NOT_OWNED)
#undef TEXT
#undef NOT_OWNED
    *config = (struct config){0};
}

static void loader_done_auto(struct loader *l)
{
    config_done(&l->config);
}

/* ---- Failing: one line on err, false for the caller to return ---- */

static bool fail(const struct loader *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool fail(const struct loader *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("elmod: ", l->err);
    vfprintf(l->err, format, args);
    fputc('\n', l->err);
    va_end(args);
    return false;
}

/* `where` is "" or "FILE: ". */
static bool fail_unknown(const struct loader *l, enum config_source source, const char *where,
                         const char *text, size_t n_bytes)
{
    char nearest[CONFIG_NAME_MAX];
    int n_shown = n_bytes < CONFIG_NAME_MAX ? (int)n_bytes : CONFIG_NAME_MAX;
    if (config_suggest(nearest, source, text, n_bytes))
        return fail(l, "%s%.*s is not known; did you mean %s?", where, n_shown, text, nearest);
    return fail(l, "%s%.*s is not known; see elmod --help", where, n_shown, text);
}

/* ---- Setting one value; `label` names the source in messages, as in "--threads" ---- */

static bool set_text(struct loader *l, const struct config_option *option, const char *label,
                     const char *text)
{
    if (option->check && !option->check(text))
        return fail(l, "%s: must be %s, got '%s'", label, option->placeholder, text);
    char *copy = strdup(text);
    if (!copy)
        return fail(l, "out of memory");
    char **value = (char **)((char *)&l->config + option->offset);
    free(*value);
    *value = copy;
    return true;
}

static bool set_uint(struct loader *l, const struct config_option *option, const char *label,
                     const char *text)
{
    size_t n_digits = strspn(text, "0123456789");
    uint64_t value = strtoull(text, NULL, 10); /* UINT64_MAX when too large: out of any range */
    if (n_digits == 0 || text[n_digits] || value < option->min || value > option->max)
        return fail(l, "%s: must be %" PRIu64 "..%" PRIu64 ", got '%s'", label, option->min,
                    option->max, text);
    memcpy((char *)&l->config + option->offset, &value, sizeof value);
    return true;
}

static bool set_pick(struct loader *l, const struct config_option *option, const char *label,
                     const char *text)
{
    size_t n_choice;
    const char *choice;
    for (unsigned i = 0; (choice = config_choice(option->text, i, &n_choice)); i++) {
        if (strlen(text) != n_choice || memcmp(text, choice, n_choice) != 0)
            continue;
        memcpy((char *)&l->config + option->offset, &i, sizeof i);
        return true;
    }
    return fail(l, "%s: must be %s, got '%s'", label, option->text, text);
}

static bool set_option(struct loader *l, size_t index, enum config_source source, const char *label,
                       const char *text)
{
    const struct config_option *option = &config_options[index];
    l->sources[index] = source;
    switch (option->type) {
    case CONFIG_TEXT: return set_text(l, option, label, text);
    case CONFIG_UINT: return set_uint(l, option, label, text);
    case CONFIG_PICK: return set_pick(l, option, label, text);
    }
    return false;
}

/* ---- The sources ---- */

static bool apply_defaults(struct loader *l)
{
#define TEXT(field, value, ...)       .field = strdup(value),
#define PICK(field, type, value, ...) .field = (type)(value),
#define UINT(field, value, ...)       .field = (value),
    l->config = (struct config){CONFIG_OPTIONS(TEXT, PICK, UINT)};
#undef TEXT
#undef PICK
#undef UINT
#define COPIED(field, ...) &&l->config.field != NULL
#define NOT_COPIED(...)
    bool copied = true CONFIG_OPTIONS(COPIED, NOT_COPIED, NOT_COPIED);
#undef COPIED
#undef NOT_COPIED
    return copied || fail(l, "out of memory");
}

static bool apply_member(struct loader *l, const char *path, const char *key, const json_t *value)
{
    char where[320], label[384], number[24];
    snprintf(where, sizeof where, "%.300s: ", path);
    size_t index = config_find_option(CONFIG_FROM_FILE, key, strlen(key));
    if (index == CONFIG_N_OPTIONS)
        return fail_unknown(l, CONFIG_FROM_FILE, where, key, strlen(key));

    snprintf(label, sizeof label, "%s%s", where, key);
    bool is_number = config_options[index].type == CONFIG_UINT;
    if (is_number ? !json_is_integer(value) : !json_is_string(value))
        return fail(l, "%s: must be %s", label, is_number ? "an integer" : "a string");
    if (!is_number)
        return set_option(l, index, CONFIG_FROM_FILE, label, json_string_value(value));
    snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return set_option(l, index, CONFIG_FROM_FILE, label, number);
}

static bool apply_file(struct loader *l, const char *path)
{
    json_error_t error;
    json_auto_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!root && error.line > 0)
        return fail(l, "%s:%d: %s", path, error.line, error.text);
    if (!root)
        return fail(l, "%s", error.text); /* it names the path */
    if (!json_is_object(root))
        return fail(l, "%s: must be a JSON object", path);
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (!apply_member(l, path, key, value))
            return false;
    }
    return true;
}

/* Of environment or flags. */
static bool apply_texts(struct loader *l, enum config_source source)
{
    for (size_t i = 0; i < CONFIG_N_OPTIONS; i++) {
        char label[CONFIG_NAME_MAX];
        config_spell(label, source, config_options[i].name);
        if (l->texts[source][i] && !set_option(l, i, source, label, l->texts[source][i]))
            return false;
    }
    return true;
}

/* What Kubernetes sets for Services whose name begins with "elmod": ELMOD_SERVICE_HOST,
 * ELMOD_SERVICE_PORT_HTTP, ELMOD_PORT=tcp://..., ELMOD_PORT_80_TCP_ADDR and the like. */
static bool is_service_link(const char *entry, size_t n_name)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)n_name, entry);
    if (strstr(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT"))
        return true;
    const char *port = strstr(name, "_PORT");
    if (!port)
        return false;
    const char *rest = port + strlen("_PORT");
    return *rest ? rest[0] == '_' && rest[1] >= '0' && rest[1] <= '9'
                 : strstr(entry + n_name, "://") != NULL;
}

static bool read_environment(struct loader *l, char *const envp[])
{
    for (; *envp; envp++) {
        const char *entry = *envp, *equals = strchr(entry, '=');
        if (strncmp(entry, "ELMOD_", strlen("ELMOD_")) != 0 || !equals)
            continue;
        size_t n_name = (size_t)(equals - entry);
        size_t index = config_find_option(CONFIG_FROM_ENVIRONMENT, entry, n_name);
        if (index < CONFIG_N_OPTIONS)
            l->texts[CONFIG_FROM_ENVIRONMENT][index] = equals + 1;
        else if (config_find_special(CONFIG_FROM_ENVIRONMENT, entry, n_name) == CONFIG_FILE)
            l->file_paths[CONFIG_FROM_ENVIRONMENT] = equals + 1;
        else if (!is_service_link(entry, n_name))
            return fail_unknown(l, CONFIG_FROM_ENVIRONMENT, "", entry, n_name);
    }
    return true;
}

/* One flag at argv[*i], which moves to its last word. */
static bool read_flag(struct loader *l, int argc, char *const argv[], int *i)
{
    const char *flag = argv[*i];
    size_t n_flag = strcspn(flag, "=");
    const char *value = flag[n_flag] ? flag + n_flag + 1 : NULL;
    size_t index = config_find_option(CONFIG_FROM_FLAG, flag, n_flag);
    size_t special = config_find_special(CONFIG_FROM_FLAG, flag, n_flag);
    if (index == CONFIG_N_OPTIONS && special == CONFIG_N_SPECIALS)
        return fail_unknown(l, CONFIG_FROM_FLAG, "", flag, n_flag);

    if (index == CONFIG_N_OPTIONS && special != CONFIG_FILE) {
        l->asked[special] = true;
        return !value || fail(l, "%.*s: takes no value", (int)n_flag, flag);
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value)
        return fail(l, "%s: needs a value", flag);
    if (index < CONFIG_N_OPTIONS)
        l->texts[CONFIG_FROM_FLAG][index] = value;
    else
        l->file_paths[CONFIG_FROM_FLAG] = value;
    return true;
}

static bool read_flags(struct loader *l, int argc, char *const argv[])
{
    for (int i = 1; i < argc; i++)
        if (!read_flag(l, argc, argv, &i))
            return false;
    return true;
}

static bool apply_all(struct loader *l)
{
    const char *path = l->file_paths[CONFIG_FROM_FLAG];
    if (!path)
        path = l->file_paths[CONFIG_FROM_ENVIRONMENT];
    if (!apply_defaults(l) || (path && !apply_file(l, path)) ||
        !apply_texts(l, CONFIG_FROM_ENVIRONMENT) || !apply_texts(l, CONFIG_FROM_FLAG))
        return false;
    if (l->config.queue_tokens < l->config.max_request_tokens)
        return fail(l,
                    "queue-tokens (%" PRIu64 ") must be at least max-request-tokens (%" PRIu64 "), "
                    "or the largest requests would never be taken",
                    l->config.queue_tokens, l->config.max_request_tokens);
    if (!*l->config.tls_cert != !*l->config.tls_key)
        return fail(l, "tls-cert and tls-key must be given together");
    return true;
}

enum config_outcome config_load(struct config *ret_config, int argc, char *const argv[],
                                char *const envp[], FILE *out, FILE *err)
{
    AUTO(loader_done) struct loader loader = {.err = err};
    struct loader *l = &loader;
    if (!read_flags(l, argc, argv))
        return CONFIG_ERROR;
    if (l->asked[CONFIG_HELP]) {
        config_print_help(out);
        return CONFIG_EXIT;
    }
    if (l->asked[CONFIG_VERSION]) {
        fprintf(out, "elmod %s (%s)\n", elmod_version, elmod_commit);
        return CONFIG_EXIT;
    }
    if (!read_environment(l, envp) || !apply_all(l))
        return CONFIG_ERROR;
    if (l->asked[CONFIG_PRINT]) {
        config_print_values(out, &l->config, l->sources);
        return CONFIG_EXIT;
    }
    *ret_config = l->config;
    l->config = (struct config){0}; /* the texts have moved */
    return l->asked[CONFIG_HEALTH] ? CONFIG_CHECK : CONFIG_RUN;
}
