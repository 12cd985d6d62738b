/* --help, and --print-config: each value and where it comes from. */
#include <inttypes.h>
#include <string.h>

#include "config_table.h"
#include "text/json_write.h"

#define HELP_COLUMN 36

static void print_flag(FILE *out, const char *name, const char *placeholder, const char *help)
{
    char flag[CONFIG_NAME_MAX];
    config_spell(flag, CONFIG_FROM_FLAG, name);
    int n = fprintf(out, "  %s %s", flag, placeholder);
    fprintf(out, "%*s%s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "", help);
}

/* The second line: what is allowed, the default, the environment's name. */
static void print_values_allowed(FILE *out, const struct config_option *option)
{
    char variable[CONFIG_NAME_MAX];
    config_spell(variable, CONFIG_FROM_ENVIRONMENT, option->name);
    fprintf(out, "%*s%s; ", HELP_COLUMN, "", variable);
    size_t n_choice;
    switch (option->type) {
    case CONFIG_TEXT: fprintf(out, "default \"%s\"\n", option->text); break;
    case CONFIG_UINT:
        fprintf(out, "%" PRIu64 "..%" PRIu64 ", default %" PRIu64 "\n", option->min, option->max,
                option->number);
        break;
    case CONFIG_PICK: {
        const char *choice = config_choice(option->text, option->number, &n_choice);
        fprintf(out, "default %.*s\n", (int)n_choice, choice);
        break;
    }
    }
}

void config_print_help(FILE *out)
{
    fputs("Usage: elmod [--NAME VALUE | --NAME=VALUE]...\n"
          "\n"
          "Serves ELMo vectors and sentiment over HTTP. Each setting is taken from its option,\n"
          "else from its environment variable, else from the JSON file of --config (an object\n"
          "with keys such as \"max_inputs\"), else it has its default.\n"
          "\n"
          "On SIGTERM and SIGINT, elmod answers all requests that it has accepted, then exits.\n"
          "On SIGHUP, it reloads the files of --model, --softmax, --word-cache-vocab, --api-keys\n"
          "and --tls-cert while the old model keeps serving. If that fails, the old model stays\n"
          "and the log says why. Both models take memory for a while. Replace these files with\n"
          "mv; do not write into them, because elmod maps them into memory.\n"
          "\n",
          out);
    for (size_t i = 0; i < CONFIG_N_OPTIONS; i++) {
        const struct config_option *option = &config_options[i];
        const char *placeholder = option->type == CONFIG_TEXT   ? option->placeholder
                                  : option->type == CONFIG_PICK ? option->text
                                                                : "N";
        print_flag(out, option->name, placeholder, option->help);
        print_values_allowed(out, option);
    }
    fputs("\n", out);
    print_flag(out, "config", "FILE", "JSON file with settings; or ELMOD_CONFIG");
    print_flag(out, "print_config", "", "print each setting and its source, then exit");
    print_flag(out, "health_check", "",
               "ask the running elmod whether it is ready; exit status 0 or 1");
    print_flag(out, "version", "", "print version and commit, then exit");
    print_flag(out, "help", "", "print this text, then exit");
}

/* As it would stand in the file. */
static void write_value(struct buffer *out, const struct config_option *option, const void *value)
{
    struct json_writer w = {.out = out};
    uint64_t number;
    unsigned index;
    size_t n_choice;
    const char *text;
    switch (option->type) {
    case CONFIG_TEXT:
        memcpy(&text, value, sizeof text);
        json_write_text(&w, text);
        break;
    case CONFIG_UINT:
        memcpy(&number, value, sizeof number);
        json_write_uint(&w, number);
        break;
    case CONFIG_PICK:
        memcpy(&index, value, sizeof index);
        text = config_choice(option->text, index, &n_choice);
        json_write_string(&w, text, n_choice);
        break;
    }
}

void config_print_values(FILE *out, const struct config *config,
                         const enum config_source sources[static CONFIG_N_OPTIONS])
{
    static const char *const source_names[CONFIG_N_SOURCES] = {
        [CONFIG_FROM_DEFAULT] = "default",
        [CONFIG_FROM_FILE] = "file",
        [CONFIG_FROM_ENVIRONMENT] = "environment",
        [CONFIG_FROM_FLAG] = "flag",
    };
    for (size_t i = 0; i < CONFIG_N_OPTIONS; i++) {
        const struct config_option *option = &config_options[i];
        AUTO(buffer_done) struct buffer value = {0};
        write_value(&value, option, (const char *)config + option->offset);
        fprintf(out, "%-24s %-20.*s # %s\n", option->name, (int)value.n_bytes, value.bytes,
                source_names[sources[i]]);
    }
}
