// The KV pool grows with what is asked of it: pages get their memory on the ranks in the
// background, ahead of those who need them, and the scheduler hands out no others. So a request
// that runs cannot die because memory was promised that is not there, and a small load takes
// little.
#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include "engine/engine.h"
#include "engine/engine_opening.h"

enum {
    AHEAD_BYTES = 32 << 20, // over all ranks: free pages to have at hand, at least
    AHEAD_PART = 4,         // ... or this part of those in use
    WAITING_MAX = 64,       // sequences of the queue that are looked at
    RETRY_NS = 1000000000,
};

static int64_t pages_of_bytes(const struct colrow_engine *engine, double bytes)
{
    double pages = bytes / (double)engine->kv_page_bytes;
    int64_t size = kv_pool_size(engine->pool);
    return pages < 1 ? 1 : pages > (double)size ? size : (int64_t)pages;
}

int64_t engine_first_pages(const struct colrow_engine *engine)
{
    return pages_of_bytes(engine, AHEAD_BYTES);
}

enum status engine_reserve_pool(struct opening *opening)
{
    struct colrow_engine *engine = opening->engine;
    struct kv_pool *pool;
    struct prefix_cache *cache = NULL;
    TRY(kv_pool_new(opening->budget.kv_pages, &pool));
    kv_pool_deal(pool, engine->plan->context_ranks);
    enum status status = OK;
    if (!engine->capture)
        status = prefix_cache_new(pool, opening->options->enable_prefix_caching != 0,
                                  opening->budget.host_pages, &cache);
    if (status != OK) {
        kv_pool_free(pool);
        return status;
    }
    prefix_cache_free(engine->cache);
    kv_pool_free(engine->pool);
    engine->cache = cache;
    engine->pool = pool;
    engine->kv_page_bytes = opening->budget.parts[0].kv_page_bytes;
    engine->pages_wanted = engine_first_pages(engine);
    kv_pool_limit(pool, engine->pages_wanted);
    return OK;
}

// Held or known now, what waits at the head of the queue, and some to grow into.
static int64_t pages_in_demand(const struct colrow_engine *engine)
{
    int64_t size = kv_pool_size(engine->pool);
    int64_t used = kv_pool_usable(engine->pool) - kv_pool_blank(engine->pool);
    int64_t ahead = pages_of_bytes(engine, AHEAD_BYTES);
    ahead = used / AHEAD_PART > ahead ? used / AHEAD_PART : ahead;
    int64_t needed = used + ahead;
    int n = 0;
    for (const struct sequence *waiting = engine->scheduler.waiting.first;
         waiting && n < WAITING_MAX && needed < size; waiting = waiting->next, n++)
        needed +=
            kv_pages_of_sequence(&engine->plan->kv, waiting->n_tokens, engine->limits.rows_max);
    return needed < size ? needed : size;
}

static int64_t pages_needed(const struct colrow_engine *engine)
{
    return engine->pool_at_once ? kv_pool_size(engine->pool) : pages_in_demand(engine);
}

// Others may have taken the memory that the budget found free.
static int64_t pages_that_fit(struct colrow_engine *engine, int64_t needed)
{
    struct device_memory memory;
    int64_t untouched = engine->pages_wanted - kv_pool_usable(engine->pool);
    if (device_memory_read(&memory) != OK)
        return engine->pages_wanted;
    int64_t fit =
        (int64_t)(BUDGET_FREE_PART * (double)memory.available / (double)engine->kv_page_bytes);
    int64_t most = engine->pages_wanted + (fit > untouched ? fit - untouched : 0);
    if (most >= needed) {
        engine->pages_short_ns = 0;
        return needed;
    }
    if (engine->pages_short_ns == 0)
        log_warning("only %s are free: the KV pool stays at %lld of %lld pages for now, and "
                    "requests that need more wait",
                    show_bytes((double)memory.available), (long long)most,
                    (long long)kv_pool_size(engine->pool));
    engine->pages_short_ns = clock_ns();
    return most;
}

void engine_grow_pool(struct colrow_engine *engine)
{
    struct kv_pool *pool = engine->pool;
    if (!engine_pool_grows(engine))
        return;
    kv_pool_grow(pool, crew_touched_pages(engine->crew));
    if (engine->pages_wanted == kv_pool_size(pool))
        return;
    int64_t needed = pages_needed(engine);
    if (needed <= engine->pages_wanted)
        return;
    if (engine->pages_short_ns && clock_ns() - engine->pages_short_ns < RETRY_NS)
        return;
    int64_t wanted = pages_that_fit(engine, needed);
    if (wanted > engine->pages_wanted)
        crew_want_pages(engine->crew, wanted);
    engine->pages_wanted = wanted;
}

bool engine_pool_grows(const struct colrow_engine *engine)
{
    return kv_pool_usable(engine->pool) < kv_pool_size(engine->pool);
}

void engine_begin_pool_anew(struct colrow_engine *engine)
{
    // the old ones were sure to fit
    int64_t first = pages_in_demand(engine);
    first = first < engine->pages_wanted ? first : engine->pages_wanted;
    engine->pages_wanted = first;
    kv_pool_limit(engine->pool, first);
    crew_want_pages(engine->crew, first);
}
