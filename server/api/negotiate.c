#include "negotiate.h"

#include <string.h>

#include "protocol/media.h"
#include "route.h"
#include "service.h"

#define LIST_MAX 100 /* bytes of all types that a path gives, one after the other */

static unsigned rank(const struct exchange *x, const char *type)
{
    return media_rank(x->head.accept, x->head.n_accept, type);
}

static void add_type(struct buffer *list, const char *type)
{
    if (list->n_bytes > 0)
        buffer_append_text(list, ", ");
    buffer_append_text(list, type);
}

static void refuse(struct exchange *x, const char *why, const struct buffer *list)
{
    struct problem problem;
    problem_init(&problem);
    problem_set(&problem, PROBLEM_NOT_ACCEPTABLE, "%s %.*s.", why, (int)list->n_bytes,
                list->bytes ? list->bytes : "");
    exchange_answer_problem(x, &problem);
}

bool negotiate_path(struct exchange *x)
{
    AUTO(buffer_done) struct buffer list = {.max_bytes = LIST_MAX};
    for (const char *const *type = x->route->produces; type && *type; type++) {
        if (rank(x, *type) > 0)
            return true;
        add_type(&list, *type);
    }
    if (list.n_bytes == 0)
        return true;
    refuse(x, "Accept rules out all that there is here:", &list);
    return false;
}

static bool path_gives(const struct exchange *x, const char *type)
{
    const char *const *given = x->route->produces;
    while (*given && strcmp(*given, type) != 0)
        given++;
    return *given != NULL;
}

bool negotiate_form(struct exchange *x)
{
    AUTO(buffer_done) struct buffer list = {.max_bytes = LIST_MAX};
    unsigned best = 0;
    if (!negotiate_varies(x))
        return true;
    for (enum reply_form form = 0; form < REPLY_N_CHOICES; form++) {
        const char *type = reply_content_type(form);
        if (!path_gives(x, type) || !reply_holds(form, x->live->model, x->request))
            continue;
        unsigned found = rank(x, type);
        if (found > best) {
            best = found;
            x->form = form;
        }
        add_type(&list, type);
    }
    if (best == 0)
        refuse(x,
               "application/x-npy holds one array alone: default, an output of a single input, or "
               "probabilities. This request can have",
               &list);
    return best > 0;
}

bool negotiate_varies(const struct exchange *x)
{
    return x->route->produces && x->route->produces[0] && x->route->produces[1];
}
