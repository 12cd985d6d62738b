#include "curve.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "util/text_file.h"

/* The curve as an SVG: two panels, one above the other, over the same axis of tokens. Pixels: */
#define WIDTH        900
#define HEIGHT       640
#define LEFT         80
#define RIGHT        20
#define TOP          50
#define BOTTOM       60
#define PANEL_GAP    50
#define PANEL_HEIGHT ((HEIGHT - TOP - BOTTOM - PANEL_GAP) / 2)

#define MAX_TICKS       24
#define MAX_LINE_POINTS 800 /* more are averaged in groups: the picture stays small */
#define MAX_HALF_WINDOW 50  /* points of the running mean, to each side */
#define MAX_DOTS        60  /* up to here each point of the loss is one */
#define RESUMED_TICK    9   /* pixels */
#define RESUMED_COLOUR  "#b2182b"
#define LETTER_WIDTH    7  /* pixels, about */
#define LEGEND_ROWS     6u /* of a column */

struct axis {
    double low, high; /* values at its ends */
    double from, to;  /* pixels at its ends */
    bool logarithmic;
};

struct series {
    const char *name, *colour;
    double stroke;
    bool dots;
    double *values; /* [n_points], NAN: none */
};

enum { LOSS, SMOOTHED, FORWARD, BACKWARD, JOINT, OTHERS, MAX_SERIES = OTHERS + CURVE_MAX_OTHERS };

struct plot {
    FILE *out;
    const struct curve_point *points;
    size_t n_points, n_resumes;
    struct series series[MAX_SERIES];
    size_t n_series;
    struct axis x;
};

/* ---- Axes ---- */

static double place(const struct axis *a, double value)
{
    double share = a->logarithmic ? log(value / a->low) / log(a->high / a->low)
                                  : (value - a->low) / (a->high - a->low);
    return a->from + share * (a->to - a->from);
}

/* 1, 2 or 5 times a power of ten, about a `parts`th of the range. */
static double nice_step(double range, double parts)
{
    double power = pow(10, floor(log10(range / parts))), share = range / parts / power;
    return power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
}

static size_t linear_ticks(double ticks[MAX_TICKS], const struct axis *a, double parts)
{
    double step = nice_step(a->high - a->low, parts), first = ceil(a->low / step - 1e-9);
    size_t n = 0;
    for (; n < MAX_TICKS && (first + (double)n) * step <= a->high + 1e-9 * step; n++)
        ticks[n] = (first + (double)n) * step;
    return n;
}

/* 1, 2, 5, 10, 20, ...; a range too small for three of them gets even steps. */
static size_t axis_ticks(double ticks[MAX_TICKS], const struct axis *a, double parts)
{
    static const double digits[] = {1, 2, 5};
    size_t n = 0;
    if (!a->logarithmic)
        return linear_ticks(ticks, a, parts);
    for (double power = pow(10, floor(log10(a->low))); power <= a->high; power *= 10)
        for (size_t k = 0; k < ARRAY_LEN(digits) && n < MAX_TICKS; k++)
            if (power * digits[k] >= a->low && power * digits[k] <= a->high)
                ticks[n++] = power * digits[k];
    return n < 3 ? linear_ticks(ticks, a, parts) : n;
}

/* The range of a panel's values, with a little room. */
static struct axis value_axis(const struct plot *p, size_t first, size_t end, double top,
                              bool logarithmic)
{
    struct axis a = {.from = top + PANEL_HEIGHT, .to = top, .logarithmic = logarithmic};
    double low = INFINITY, high = -INFINITY;
    for (size_t s = first; s < end; s++)
        for (size_t k = 0; k < p->n_points; k++) {
            low = fmin(low, p->series[s].values[k]); /* fmin and fmax pass over a NAN */
            high = fmax(high, p->series[s].values[k]);
        }
    if (low > high) {
        low = 1;
        high = 10;
    }
    double room = logarithmic ? 0 : 0.05 * (high - low) + 1e-3 * fabs(high) + 1e-9;
    double factor = logarithmic ? fmax(pow(high / low, 0.05), 1.01) : 1;
    a.low = (low - room) / factor;
    a.high = (high + room) * factor;
    return a;
}

/* "2.5", "300 k", "1.2 G" */
static const char *number(char *buf, size_t buf_bytes, double value)
{
    static const char *const suffixes[] = {"", " k", " M", " G", " T"};
    size_t k = 0;
    for (; k + 1 < ARRAY_LEN(suffixes) && fabs(value) >= 999.5; k++)
        value /= 1000;
    snprintf(buf, buf_bytes, "%.4g%s", fabs(value) < 1e-12 ? 0 : value, suffixes[k]);
    return buf;
}

/* ---- Drawing ---- */

/* Of bytes that may be anything: what is no plain character of XML becomes '?'. */
static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (strchr("<>&\"'", c) || c < 0x20 || c >= 0x7f)
            fprintf(out, c < 0x20 || c >= 0x7f ? "?" : "&#%u;", c);
        else
            putc(c, out);
    }
    fputs("</text>\n", out);
}

static void draw_text(FILE *out, double x, double y, const char *anchor, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    put_text(out, text);
}

static void draw_title(FILE *out, const char *title)
{
    fprintf(out, "<text x=\"%d\" y=\"28\" font-size=\"17\">", LEFT);
    put_text(out, title);
}

static void draw_rule(FILE *out, double x1, double y1, double x2, double y2)
{
    fprintf(out, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"#dddddd\"/>\n", x1, y1, x2, y2);
}

static void draw_axes(const struct plot *p, const struct axis *y, const char *label, bool names_x)
{
    double ticks[MAX_TICKS];
    char buf[32];
    size_t n = axis_ticks(ticks, &p->x, 8);
    for (size_t k = 0; k < n; k++) {
        double at = place(&p->x, ticks[k]);
        draw_rule(p->out, at, y->from, at, y->to);
        draw_text(p->out, at, y->from + 18, "middle", number(buf, sizeof buf, ticks[k]));
    }
    n = axis_ticks(ticks, y, 6);
    for (size_t k = 0; k < n; k++) {
        double at = place(y, ticks[k]);
        draw_rule(p->out, p->x.from, at, p->x.to, at);
        draw_text(p->out, p->x.from - 8, at + 4, "end", number(buf, sizeof buf, ticks[k]));
    }
    fprintf(p->out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" "
            "stroke=\"#444444\"/>\n",
            p->x.from, y->to, p->x.to - p->x.from, y->from - y->to);
    fprintf(p->out,
            "<text transform=\"translate(22 %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
            (y->from + y->to) / 2, label);
    if (names_x)
        draw_text(p->out, (p->x.from + p->x.to) / 2, y->from + 42, "middle", "tokens seen");
}

/* The mean of a group of points, in pixels; false: none of them has a value. */
static bool group_mean(const struct plot *p, const struct series *s, const struct axis *y,
                       size_t begin, size_t end, double *ret_x, double *ret_y)
{
    double x_sum = 0, y_sum = 0, n = 0;
    for (size_t k = begin; k < end; k++) {
        if (!isfinite(s->values[k]))
            continue;
        x_sum += place(&p->x, (double)p->points[k].tokens);
        y_sum += place(y, s->values[k]);
        n++;
    }
    *ret_x = n > 0 ? x_sum / n : 0;
    *ret_y = n > 0 ? y_sum / n : 0;
    return n > 0;
}

static void draw_series(const struct plot *p, const struct series *s, const struct axis *y)
{
    size_t group = p->n_points / MAX_LINE_POINTS + 1;
    double at_x, at_y;
    fprintf(p->out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" points=\"",
            s->colour, s->stroke);
    if (s->dots)
        group = 1; /* few of the points have a value */
    for (size_t k = 0; k < p->n_points; k += group) {
        size_t end = p->n_points - k < group ? p->n_points : k + group;
        if (group_mean(p, s, y, k, end, &at_x, &at_y))
            fprintf(p->out, "%.1f,%.1f ", at_x, at_y);
    }
    fputs("\"/>\n", p->out);
    for (size_t k = 0; s->dots && k < p->n_points; k++)
        if (group_mean(p, s, y, k, k + 1, &at_x, &at_y))
            fprintf(p->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n", at_x, at_y,
                    s->colour);
}

/* Where the first point of a resumed run is. */
static void draw_resumes(const struct plot *p, const struct axis *y)
{
    for (size_t k = 1; k < p->n_points; k++)
        if (p->points[k].resumes != p->points[k - 1].resumes)
            fprintf(p->out,
                    "<path d=\"M%.1f %.1fv-%d\" stroke=\"" RESUMED_COLOUR
                    "\" stroke-width=\"2\"/>\n",
                    place(&p->x, (double)p->points[k].tokens), y->from, RESUMED_TICK);
}

/* The legend's row for them. */
static void draw_resumes_row(const struct plot *p, double x, double y)
{
    fprintf(p->out,
            "<path d=\"M%.1f %.1fv-%d\" stroke=\"" RESUMED_COLOUR "\" stroke-width=\"2\"/>\n",
            x + 14, y, RESUMED_TICK);
    draw_text(p->out, x + 36, y, "start", "resumed");
}

/* Pixels of a column of the legend. */
static double legend_width(const struct plot *p, size_t first, size_t end)
{
    double width = 180;
    for (size_t k = first; k < end; k++)
        width = fmax(width, 56 + LETTER_WIDTH * (double)strlen(p->series[k].name));
    return width;
}

static void draw_legend(const struct plot *p, size_t first, size_t end, double top)
{
    size_t n = end - first, n_resumes = first == LOSS && p->n_resumes;
    size_t n_columns = (n + LEGEND_ROWS - 1) / LEGEND_ROWS;
    size_t n_rows = n_columns > 1 ? LEGEND_ROWS : n + n_resumes;
    double width = legend_width(p, first, end),
           left = WIDTH - RIGHT - 20 - width * (double)n_columns;
    fprintf(p->out,
            "<rect x=\"%.0f\" y=\"%.1f\" width=\"%.0f\" height=\"%zu\" fill=\"#ffffff\" "
            "fill-opacity=\"0.8\"/>\n",
            left, top + 3, width * (double)n_columns, 20 * n_rows + 8);
    for (size_t k = 0; k < n; k++) {
        const struct series *s = &p->series[first + k];
        double x = left + 10 + width * (double)(k / LEGEND_ROWS),
               y = top + 20 + 20 * (double)(k % LEGEND_ROWS);
        fprintf(p->out, "<path d=\"M%.1f %.1fh28\" stroke=\"%s\" stroke-width=\"%.1f\"/>\n", x,
                y - 4, s->colour, s->stroke);
        draw_text(p->out, x + 36, y, "start", s->name);
    }
    if (n_resumes)
        draw_resumes_row(p, left + 10, top + 20 + 20 * (double)n);
}

static void draw_panel(const struct plot *p, size_t first, size_t end, double top,
                       const char *label, bool logarithmic, bool names_x)
{
    struct axis y = value_axis(p, first, end, top, logarithmic);
    draw_axes(p, &y, label, names_x);
    for (size_t k = first; k < end; k++)
        draw_series(p, &p->series[k], &y);
    draw_resumes(p, &y);
    draw_legend(p, first, end, top);
}

/* ---- The whole ---- */

/* The mean of loss k and its neighbours, as many before as behind: it does not lag. */
static double smoothed_loss(const struct plot *p, size_t k)
{
    const double *loss = p->series[LOSS].values;
    size_t half = p->n_points / 60 + 2, left = k, right = p->n_points - 1 - k;
    half = half < MAX_HALF_WINDOW ? half : MAX_HALF_WINDOW;
    half = half < left ? half : left;
    half = half < right ? half : right;
    double sum = 0, n = 0;
    for (size_t at = k - half; at <= k + half; at++) {
        sum += isnan(loss[at]) ? 0 : loss[at];
        n += !isnan(loss[at]);
    }
    return isnan(loss[k]) ? loss[k] : sum / n;
}

/* A perplexity that can be drawn on a log axis, NAN for others. */
static double drawable(double perplexity)
{
    return isfinite(perplexity) && perplexity > 0 ? perplexity : (double)NAN;
}

static void fill_series(struct plot *p)
{
    for (size_t k = 0; k < p->n_points; k++) {
        const struct curve_point *point = &p->points[k];
        p->series[LOSS].values[k] = isfinite(point->loss) ? point->loss : (double)NAN;
        p->series[FORWARD].values[k] = drawable(point->perplexity_forward);
        p->series[BACKWARD].values[k] = drawable(point->perplexity_backward);
        p->series[JOINT].values[k] = drawable(point->perplexity);
        for (size_t s = OTHERS; s < p->n_series; s++)
            p->series[s].values[k] = drawable(point->others[s - OTHERS]);
        p->n_resumes += k && point->resumes != point[-1].resumes;
    }
    for (size_t k = 0; k < p->n_points; k++)
        p->series[SMOOTHED].values[k] = smoothed_loss(p, k);
}

/* The series of the texts after the first. */
static void add_others(struct plot *p, const struct curve_others *others)
{
    static const char *const colours[CURVE_MAX_OTHERS] = {
        "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f3fbf", "#999933", "#17becf"};
    p->n_series = OTHERS;
    for (size_t k = 0; others && k < others->n_names; k++)
        p->series[p->n_series++] = (struct series){others->names[k], colours[k], 1.5, true, NULL};
}

static void draw(struct plot *p, const char *title)
{
    fprintf(p->out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_title(p->out, title);
    draw_panel(p, LOSS, FORWARD, TOP, "training loss (nats per token)", false, false);
    draw_panel(p, FORWARD, p->n_series, TOP + PANEL_HEIGHT + PANEL_GAP, "held-out perplexity", true,
               true);
    fputs("</svg>\n", p->out);
}

int curve_plot(const char *path, const char *title, const struct curve_point *points,
               size_t n_points, const struct curve_others *others, struct elmo_error *err)
{
    struct plot p = {
        .points = points,
        .n_points = n_points,
        .series = {{"each point", "#a6c8e0", 1, n_points <= MAX_DOTS, NULL},
                   {"running mean", "#08519c", 2, false, NULL},
                   {"forward", "#0072b2", 1.5, true, NULL},
                   {"backward", "#d55e00", 1.5, true, NULL},
                   {"both", "#333333", 2, true, NULL}},
        .x = {0, 1, LEFT, WIDTH - RIGHT, false},
    };
    AUTO(mem_free) double *values = calloc(n_points + 1, MAX_SERIES * sizeof *values);
    if (!values)
        return elmo_fail_nomem(err);
    add_others(&p, others);
    for (size_t k = 0; k < p.n_series; k++)
        p.series[k].values = values + k * n_points;
    for (size_t k = 0; k < n_points; k++)
        p.x.high = fmax(p.x.high, (double)points[k].tokens);
    fill_series(&p);
    AUTO(mem_free) char *text = NULL;
    size_t n_bytes;
    p.out = open_memstream(&text, &n_bytes);
    if (!p.out)
        return elmo_fail_nomem(err);
    draw(&p, title);
    bool failed = ferror(p.out);
    if (fclose(p.out) || failed)
        return elmo_fail_nomem(err);
    return text_file_write(path, text, err);
}
