#include "batch.h"

uint64_t batch_drop_expired(struct job_list *waiting, uint64_t now_ns, struct job_list *expired)
{
    struct job_list staying = {0};
    uint64_t earliest_ns = UINT64_MAX;
    struct job *job;
    while ((job = job_list_pop(waiting))) {
        bool late = job->deadline_ns <= now_ns;
        if (!late && job->deadline_ns < earliest_ns)
            earliest_ns = job->deadline_ns;
        job_list_push(late ? expired : &staying, job);
    }
    *waiting = staying;
    return earliest_ns;
}

void batch_take(struct job_list *waiting, size_t max_cost, struct job_list *batch)
{
    if (waiting->head)
        job_list_push(batch, job_list_pop(waiting));
    while (waiting->head && batch->cost < max_cost &&
           job_cost(waiting->head) <= max_cost - batch->cost)
        job_list_push(batch, job_list_pop(waiting));
}
