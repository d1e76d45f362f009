// Pages that move between the KV cache and host memory, before a step's first operation.
#include <string.h>

#include "model/forward.h"

// On a CPU both are ordinary memory; a page whose number is kv_pages or more lies in the second
// pool. Of those of a context this rank has every context_ranks-th of each.
static char *page_memory(const struct model *m, int32_t place)
{
    const int n = m->plan->context_ranks;
    return place < m->kv_pages
               ? m->kv_memory + (size_t)(place / n) * m->page_stride
               : m->host_memory + (size_t)((place - m->kv_pages) / n) * m->page_stride;
}

static int owner_of_place(const struct model *m, int32_t place)
{
    return (int)(place % m->plan->context_ranks); // both pools have a multiple of them
}

enum status check_copies(const struct model *m, const struct step *step)
{
    int64_t n_places = m->kv_pages + m->host_pages;
    for (int32_t i = 0; i < step->n_copies; i++) {
        struct step_copy copy = step->copies[i];
        if (copy.from < 0 || copy.to < 0 || copy.from >= n_places || copy.to >= n_places ||
            (copy.from < m->kv_pages) == (copy.to < m->kv_pages))
            return fail(ERR_INTERNAL,
                        "step %lld: page %d is to be copied to %d; expected one of %lld pages and "
                        "one of %lld in host memory",
                        (long long)step->number, copy.from, copy.to, (long long)m->kv_pages,
                        (long long)m->host_pages);
    }
    return OK;
}

// From the rank that has the page to the one that is to have it. Thread 0; the others wait, since
// what they copied before may go on its way, and what comes may be copied.
static void send_page(const struct worker *w, struct step_copy copy)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    const int from = owner_of_place(m, copy.from), to = owner_of_place(m, copy.to);
    team_barrier(m->team);
    if (w->thread == 0 && run->status == OK) {
        comm_mark(m->comm, run->step->number, -1, "a page that moves");
        if (from == m->context_rank)
            run->status = comm_send(m->context, page_memory(m, copy.from), m->page_stride, to);
        else if (to == m->context_rank)
            run->status = comm_recv(m->context, page_memory(m, copy.to), m->page_stride, from);
    }
    team_barrier(m->team);
}

// Each thread copies its part of every page, in order, so that no copy waits for another thread:
// what one copy has written a later one may read.
void copy_pages(const struct worker *w)
{
    const struct model *m = w->run->model;
    const struct step *step = w->run->step;
    const size_t line = 64;
    size_t lines = (m->page_stride + line - 1) / line;
    size_t begin = lines * (size_t)w->thread / (size_t)w->n_threads * line;
    size_t end = lines * (size_t)(w->thread + 1) / (size_t)w->n_threads * line;
    end = end < m->page_stride ? end : m->page_stride;
    if (step->n_copies == 0)
        return;
    for (int32_t i = 0; i < step->n_copies; i++) {
        const struct step_copy copy = step->copies[i];
        const int owner = owner_of_place(m, copy.from);
        if (owner != owner_of_place(m, copy.to))
            send_page(w, copy);
        else if (owner == m->context_rank && begin < end)
            memcpy(page_memory(m, copy.to) + begin, page_memory(m, copy.from) + begin, end - begin);
    }
    team_barrier(m->team);
}
