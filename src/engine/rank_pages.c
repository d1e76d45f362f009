#include "engine/rank_pages.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "engine/rank_background.h"

struct rank_pages {
    struct board *board;
    struct board_rank *own;
    struct model *model;
    int64_t n_pages, n_touched;
    pthread_t thread;
    bool started;
    _Atomic bool stop, over; // relaxed: only when to stop, and that it has
};

static bool is_stopped(struct rank_pages *pages)
{
    return atomic_load_explicit(&pages->stop, memory_order_relaxed);
}

static void touch_until(struct rank_pages *pages, int64_t end)
{
    model_touch_pages(pages->model, pages->n_touched, end);
    pages->n_touched = end;
    // release: the front-end posts steps with these pages only after it has seen the number
    atomic_store_explicit(&pages->own->kv_pages_touched, (uint64_t)end, memory_order_release);
}

// In pieces, so that the front-end can use the first ones soon; it need not hear of each while it
// waits for the rank to load.
static void touch_wanted(struct rank_pages *pages, bool rings)
{
    enum { PIECES = 16, PIECE_MIN = 8 };
    // relaxed: a number on its own
    int64_t wanted =
        (int64_t)atomic_load_explicit(&pages->board->header->kv_wanted.value, memory_order_relaxed);
    wanted = wanted < pages->n_pages ? wanted : pages->n_pages;
    int64_t piece = (wanted - pages->n_touched) / PIECES;
    piece = piece > PIECE_MIN ? piece : PIECE_MIN;
    while (pages->n_touched < wanted && !is_stopped(pages)) {
        int64_t rest = wanted - pages->n_touched;
        touch_until(pages, pages->n_touched + (rest < piece ? rest : piece));
        if (rings)
            board_ring(pages->board);
    }
}

static void *touch_in_background(void *context)
{
    struct rank_pages *pages = context;
    struct signal_word *wanted = &pages->board->header->kv_wanted;
    yield_to_steps();
    while (pages->n_touched < pages->n_pages && !is_stopped(pages)) {
        signal_sleep(wanted, (uint32_t)pages->n_touched + 1);
        touch_wanted(pages, true);
    }
    atomic_store_explicit(&pages->over, true, memory_order_relaxed);
    return NULL;
}

enum status rank_pages_start(struct board *board, struct board_rank *own, struct model *model,
                             struct rank_pages **out)
{
    struct rank_pages *pages;
    TRY(memory_new(1, sizeof *pages, "a thread", &pages));
    pages->board = board;
    pages->own = own;
    pages->model = model;
    pages->n_pages = board->header->shape.kv_pages;
    touch_wanted(pages, false);
    if (pages->n_touched < pages->n_pages) {
        int error = pthread_create(&pages->thread, NULL, touch_in_background, pages);
        if (error) {
            free(pages);
            return fail(ERR_MEMORY, "a thread cannot be started: %s", strerror(error));
        }
        pages->started = true;
    }
    *out = pages;
    return OK;
}

void rank_pages_follow(const struct rank_pages *pages)
{
    // acquire: see touch_until()
    (void)atomic_load_explicit(&pages->own->kv_pages_touched, memory_order_acquire);
}

void rank_pages_stop(struct rank_pages *pages)
{
    if (!pages)
        return;
    atomic_store_explicit(&pages->stop, true, memory_order_relaxed);
    // again and again: it may be on its way into its sleep
    while (pages->started && !atomic_load_explicit(&pages->over, memory_order_relaxed)) {
        signal_wake(&pages->board->header->kv_wanted);
        nanosleep(&(struct timespec){0, 500000}, NULL);
    }
    if (pages->started)
        pthread_join(pages->thread, NULL);
    free(pages);
}
