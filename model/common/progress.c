#include "progress.h"

#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REWRITE_INTERVAL_S 0.2
#define SMOOTHING_S        30.0
#define DEFAULT_COLUMNS    80
#define BAR_COLUMNS        20
#define LINE_BYTES         256

double progress_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_init(struct progress *p, FILE *out, double plain_interval_s)
{
    *p = (struct progress){.out = out, .interval_s = plain_interval_s};
    p->rewrites = out && isatty(fileno(out));
    if (p->rewrites)
        p->interval_s = REWRITE_INTERVAL_S;
}

const char *progress_duration(char *buf, size_t buf_bytes, double seconds)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e12) {
        snprintf(buf, buf_bytes, "?");
        return buf;
    }
    unsigned long long s = (unsigned long long)(seconds + 0.5);
    if (s < 86400)
        snprintf(buf, buf_bytes, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, buf_bytes, "%llud %02llu:%02llu", s / 86400, s / 3600 % 24, s / 60 % 60);
    return buf;
}

/* ---- What is known of the speed ---- */

static void measure(struct progress *p, double now_s, const struct progress_state *state)
{
    if (!p->started || state->n_tokens < p->last_tokens) { /* the first job, or another */
        p->started = true;
        p->tokens_per_s = 0;
        p->begin_s = p->last_s = now_s;
        p->shown_s = -(double)INFINITY; /* the first state is shown at once */
        p->begin_share = state->done_share;
        p->last_tokens = state->n_tokens;
        return;
    }
    double elapsed_s = now_s - p->last_s;
    if (elapsed_s <= 0)
        return;
    double rate = (double)(state->n_tokens - p->last_tokens) / elapsed_s,
           keep = p->tokens_per_s > 0 ? exp(-elapsed_s / SMOOTHING_S) : 0;
    p->tokens_per_s = keep * p->tokens_per_s + (1 - keep) * rate;
    p->last_s = now_s;
    p->last_tokens = state->n_tokens;
}

/* As the share since this process began; NAN while nothing is known. */
static double seconds_left(const struct progress *p, double now_s, double done_share)
{
    double gained = done_share - p->begin_share;
    return gained > 0 ? (1 - done_share) * (now_s - p->begin_s) / gained : (double)NAN;
}

/* ---- The line ---- */

static void append(char line[LINE_BYTES], const char *text)
{
    size_t n = strlen(line);
    snprintf(line + n, LINE_BYTES - n, "%s%s", n ? "  " : "", text);
}

static void append_bar(char line[LINE_BYTES], double done_share)
{
    char bar[BAR_COLUMNS + 3] = "[";
    for (size_t k = 0; k < BAR_COLUMNS; k++)
        bar[1 + k] = ((double)k + 0.5) / BAR_COLUMNS < done_share ? '#' : '.';
    bar[BAR_COLUMNS + 1] = ']';
    append(line, bar);
}

static void compose(char line[LINE_BYTES], const struct progress *p, double now_s,
                    const struct progress_state *s)
{
    char part[64], left[32];
    line[0] = '\0';
    append(line, s->phase);
    if (p->rewrites && isfinite(s->done_share))
        append_bar(line, s->done_share);
    if (!isnan(s->epoch_share)) {
        snprintf(part, sizeof part, "step %llu", (unsigned long long)s->step);
        append(line, part);
        snprintf(part, sizeof part, "epoch %llu %.1f %%", (unsigned long long)s->epoch,
                 100 * s->epoch_share);
        append(line, part);
    }
    if (!isnan(s->loss)) {
        snprintf(part, sizeof part, "loss %.4f", s->loss);
        append(line, part);
    }
    if (p->tokens_per_s > 0) {
        snprintf(part, sizeof part, "%.0f tokens/s", p->tokens_per_s);
        append(line, part);
    }
    if (!isnan(s->done_share)) {
        snprintf(part, sizeof part, "left %s",
                 progress_duration(left, sizeof left, seconds_left(p, now_s, s->done_share)));
        append(line, part);
    }
}

static size_t terminal_columns(FILE *out)
{
    struct winsize size;
    bool known = !ioctl(fileno(out), TIOCGWINSZ, &size) && size.ws_col > 0;
    return known ? size.ws_col : DEFAULT_COLUMNS;
}

/* A line that wraps could not be rewritten: it is cut to the terminal's width. */
static void rewrite(struct progress *p, char line[LINE_BYTES])
{
    size_t columns = terminal_columns(p->out);
    if (strlen(line) >= columns)
        line[columns - 1] = '\0';
    fprintf(p->out, "\r%s\033[K", line);
    p->n_shown = strlen(line);
}

static void show(struct progress *p, double now_s, const struct progress_state *state)
{
    char line[LINE_BYTES];
    compose(line, p, now_s, state);
    if (p->rewrites)
        rewrite(p, line);
    else
        fprintf(p->out, "%s\n", line);
    fflush(p->out); /* a terminal that went away does not stop a run */
    p->shown_s = now_s;
}

void progress_update(struct progress *p, double now_s, const struct progress_state *state)
{
    if (!p->out)
        return;
    measure(p, now_s, state);
    if (now_s - p->shown_s >= p->interval_s)
        show(p, now_s, state);
}

void progress_clear(struct progress *p)
{
    if (!p->out || !p->n_shown)
        return;
    fputs("\r\033[K", p->out);
    fflush(p->out);
    p->n_shown = 0;
}

void progress_end(struct progress *p, double now_s, const struct progress_state *state)
{
    if (!p->out)
        return;
    measure(p, now_s, state);
    show(p, now_s, state);
    if (p->rewrites)
        fputc('\n', p->out);
    fflush(p->out);
    p->n_shown = 0;
}
