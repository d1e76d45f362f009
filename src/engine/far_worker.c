#include "engine/far_worker.h"

#include <assert.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/far_link.h"

enum {
    TICK_MS = 100,               // between words about ranks that load
    EAGER_NS = 200000,           // after results
    START_BYTES_MAX = 256 << 10, // of what comes before the shape is known
    KV_GROUPS_LIMIT = 1 << 10,
};

struct far_worker {
    const struct far_worker_options *options;
    struct far_link link;
    struct crew *crew; // NULL: not yet
    struct far_start start;
    struct world_part part; // of `crew`
    bool started;           // over this connection: its generations go up
    struct far_step_room room;
    // Under way: the last n_posted up to `posted`, by slot; a canary is alone.
    struct given_step {
        int32_t n_logits, n_captured; // rows
        uint8_t *logit_full;          // [n_logits]
    } steps[STEPS_UNDER_WAY_MAX];
    int64_t posted;
    int n_posted;
    bool canary;
    bool said_ready, said_broken, said_gone, quitting;
    int64_t said_ns; // when the ranks' state was said last
    int64_t done_ns; // and results
};

// ---- what the engine is told

static void send_engine(struct far_worker *w, enum far_type type, const void *payload, size_t bytes)
{
    far_link_wrote(&w->link, far_write(&w->link.out, type, payload, bytes));
    far_link_flush(&w->link);
}

static int64_t oldest(const struct far_worker *w)
{
    return w->posted - w->n_posted + 1;
}

// As the board has it (board_slot()).
static int slot_of_step(const struct far_worker *w, int64_t number)
{
    uint64_t n = (uint64_t)number - w->start.options.first_step;
    return (int)(n % (uint64_t)board_slots(&w->start.shape));
}

// `slot`: of the step that is done; -1: none is.
static void find_rank(const struct far_worker *w, int local, int slot, struct far_rank *out)
{
    int rank = w->options->part.first_rank + local;
    const struct board_rank *from = crew_rank(w->crew, rank);
    memset(out, 0, sizeof *out); // its padding travels, too
#define GET(field) out->field = atomic_load_explicit(&from->field, memory_order_relaxed)
    GET(bytes_read);
    GET(weight_bytes);
    GET(kv_bytes);
    GET(host_kv_bytes);
    GET(scratch_bytes);
    GET(resident_peak_bytes);
    GET(load_ns);
    GET(weights_ns);
    GET(step_ns);
    GET(all_reduce_ns);
    GET(wait_ns);
    GET(stage_ns);
    GET(bytes_sent);
    GET(busiest_pairs);
    for (int leaf = 0; leaf < EXPERT_LEAVES; leaf++)
        GET(expert_pairs[leaf]);
#undef GET
    // acquire: see crew_touched_pages()
    out->kv_pages_touched =
        (uint64_t)atomic_load_explicit(&from->kv_pages_touched, memory_order_acquire);
    if (slot >= 0)
        out->last_step_ns = atomic_load_explicit(&from->steps[slot].step_ns, memory_order_relaxed);
    out->pid = (int32_t)crew_pid(w->crew, rank);
    crew_report(w->crew, rank, &out->flight);
}

static enum status append_ranks(struct far_worker *w, int slot)
{
    for (int r = 0; r < w->options->part.n_ranks; r++) {
        struct far_rank rank;
        find_rank(w, r, slot, &rank);
        TRY(bytes_append(&w->link.out, &rank, sizeof rank));
    }
    return OK;
}

static enum status write_state(struct far_worker *w)
{
    size_t begin;
    TRY(far_begin(&w->link.out, FAR_STATE, &begin));
    TRY(append_ranks(w, -1));
    return far_end(&w->link.out, begin);
}

static void say_state(struct far_worker *w)
{
    if (!far_link_flushed(&w->link)) // news can wait for results
        return;
    far_link_wrote(&w->link, write_state(w));
    far_link_flush(&w->link);
    w->said_ns = clock_ns();
}

// Hidden states after the layers of this node's stages.
static enum status append_captured(struct far_worker *w, const struct step_results *results,
                                   int32_t n_rows)
{
    size_t hidden = (size_t)w->start.shape.hidden_size,
           stride = (size_t)results->capture_rows_max * hidden;
    for (int32_t i = w->start.capture_begin; i < w->start.capture_end && n_rows > 0; i++)
        TRY(bytes_append(&w->link.out, results->capture + (size_t)i * stride,
                         (size_t)n_rows * hidden * sizeof *results->capture));
    return OK;
}

static enum status append_results(struct far_worker *w)
{
    const struct step_results *results = crew_results(w->crew);
    const struct given_step *step = &w->steps[slot_of_step(w, oldest(w))];
    size_t n_logits = (size_t)step->n_logits, vocab = (size_t)w->start.shape.vocab_size,
           begin = (size_t)w->start.column_begin, end = (size_t)w->start.column_end;
    for (int r = w->start.best_begin; r < w->start.best_end && n_logits > 0; r++)
        TRY(bytes_append(&w->link.out, results->best + (size_t)r * (size_t)results->logit_rows_max,
                         n_logits * sizeof *results->best));
    for (size_t i = 0; i < n_logits && begin < end; i++)
        if (step->logit_full[i])
            TRY(bytes_append(&w->link.out, results->logits + i * vocab + begin,
                             (end - begin) * sizeof *results->logits));
    return append_captured(w, results, step->n_captured);
}

static enum status write_step_done(struct far_worker *w)
{
    struct far_done head = {
        .generation = crew_generation(w->crew), .number = oldest(w), .is_canary = w->canary};
    size_t begin;
    TRY(far_begin(&w->link.out, FAR_DONE, &begin));
    TRY(bytes_append(&w->link.out, &head, sizeof head));
    TRY(append_ranks(w, w->canary ? -1 : slot_of_step(w, oldest(w))));
    if (!w->canary)
        TRY(append_results(w));
    return far_end(&w->link.out, begin);
}

static void say_done(struct far_worker *w)
{
    far_link_wrote(&w->link, write_step_done(w));
    far_link_flush(&w->link);
    w->done_ns = clock_ns();
    w->n_posted--;
    w->canary = false;
}

static void say_broken(struct far_worker *w, uint64_t generation, int exit_status,
                       const char *sentence)
{
    struct far_broken message = {.generation = generation, .exit_status = exit_status};
    snprintf(message.sentence, sizeof message.sentence, "%s", sentence);
    send_engine(w, FAR_BROKEN, &message, sizeof message);
    w->said_broken = true;
}

static void say_gone(struct far_worker *w, uint64_t generation)
{
    send_engine(w, FAR_GONE, &generation, sizeof generation);
    w->said_gone = true;
}

// ---- what the engine says

static void end_for_nonsense(struct far_worker *w)
{
    far_link_end(&w->link, "it said what no engine of this version says");
}

// Only what this process relies on: ranks check their board, and each step.
static bool start_is_good(const struct far_worker *w, const struct far_start *start)
{
    const struct board_shape *shape = &start->shape;
    const struct step_limits *limits = &shape->limits;
    size_t bytes;
    return shape->n_ranks == w->options->part.world_size && limits->rows_max > 0 &&
           limits->sequences_max > 0 && limits->logit_rows_max > 0 &&
           limits->page_entries_max > 0 && limits->copies_max >= 0 && limits->kv_groups >= 0 &&
           limits->kv_groups <= KV_GROUPS_LIMIT && limits->state_pages >= 0 &&
           shape->vocab_size > 0 && shape->kv_pages > 0 && shape->n_slots >= 0 &&
           shape->n_slots <= STEPS_UNDER_WAY_MAX && start->best_begin >= 0 &&
           start->best_begin <= start->best_end && start->best_end <= shape->n_ranks &&
           start->column_begin >= 0 && start->column_begin <= start->column_end &&
           start->column_end <= shape->vocab_size && start->capture_begin >= 0 &&
           start->capture_begin <= start->capture_end && shape->hidden_size > 0 &&
           shape->num_hidden_layers > 0 && start->capture_end <= shape->num_hidden_layers + 1 &&
           (shape->capture_rows_max == 0 || shape->capture_rows_max >= limits->rows_max) &&
           start->options.generation > 0 && start->options.first_step > 0 &&
           start->options.kv_pages_first >= 0 && start->options.kv_pages_first <= shape->kv_pages &&
           board_bytes(shape, &bytes) == OK;
}

static void free_rooms(struct far_worker *w)
{
    far_step_room_free(&w->room);
    for (int i = 0; i < STEPS_UNDER_WAY_MAX; i++) {
        free(w->steps[i].logit_full);
        w->steps[i].logit_full = NULL;
    }
}

static enum status open_crew(struct far_worker *w)
{
    struct crew_options crew = w->options->crew;
    const struct board_options own = crew.board;
    TRY(far_step_room_new(&w->start.shape.limits, &w->room));
    for (int i = 0; i < board_slots(&w->start.shape); i++)
        TRY(memory_new((size_t)w->start.shape.limits.logit_rows_max, 1, "steps of another node",
                       &w->steps[i].logit_full));
    crew.shape = w->start.shape;
    crew.shape.n_arriving = w->options->part.n_ranks;
    crew.board = w->start.options;
    memcpy(crew.board.model, own.model, sizeof own.model);
    memcpy(crew.board.tp_plan, own.tp_plan, sizeof own.tp_plan);
    crew.board.log_level = own.log_level;
    crew.deadline_seconds = w->start.deadline_seconds;
    crew.canary_seconds = 0; // the engine's to do
    crew.crowded = w->start.crowded != 0;
    crew.part = w->options->part;
    crew.agent = w->options->agent;
    crew.far = NULL;
    w->link.payload_max = far_payload_max(&crew.shape);
    w->part = crew.part;
    return crew_new(&crew, &w->crew);
}

static void close_crew(struct far_worker *w)
{
    crew_stop(w->crew);
    w->crew = NULL;
    free_rooms(w);
}

// True: the ranks that are here hold other weights, or have another board, than they are to. Bytes
// that lie between fields may say so for nothing: then weights are read once more.
static bool is_another_crew(const struct far_worker *w, const struct far_start *start)
{
    struct board_options old = w->start.options, new = start->options;
    old.generation = new.generation;
    old.first_step = new.first_step;
    old.kv_pages_first = new.kv_pages_first;
    // NOLINTBEGIN(bugprone-suspicious-memory-comparison): see above
    return memcmp(&old, &new, sizeof old) != 0 ||
           memcmp(&w->start.shape, &start->shape, sizeof start->shape) != 0 ||
           memcmp(&w->part, &w->options->part, sizeof w->part) != 0;
    // NOLINTEND(bugprone-suspicious-memory-comparison)
}

static void hear_how_to_start(struct far_worker *w, const struct far_frame *frame)
{
    struct far_start start;
    if (!far_take(frame, &start, sizeof start) || !start_is_good(w, &start)) {
        end_for_nonsense(w);
        return;
    }
    uint64_t generation = start.options.generation;
    // an engine that was itself started again counts from 1 on
    if (w->crew && (crew_state(w->crew) != CREW_BROKEN ||
                    (w->started && generation <= crew_generation(w->crew)))) {
        end_for_nonsense(w);
        return;
    }
    if (w->crew && is_another_crew(w, &start))
        close_crew(w);
    bool first = w->crew == NULL;
    w->started = true;
    w->said_ready = w->said_broken = w->said_gone = w->canary = false;
    w->n_posted = 0;
    w->start = start;
    if (!first) {
        crew_want_pages(w->crew, start.options.kv_pages_first);
        crew_number_from(w->crew, generation, start.options.first_step);
        crew_restart(w->crew, 0);
    } else if (open_crew(w) != OK) {
        free_rooms(w);
        say_broken(w, generation, 1, status_message());
        say_gone(w, generation);
    }
}

static void hear_step(struct far_worker *w, const struct far_frame *frame)
{
    struct far_step head;
    struct step step;
    if (!w->crew || !far_read_step(frame, &w->start.shape.limits, &w->room, &head, &step)) {
        end_for_nonsense(w);
        return;
    }
    if (head.generation != crew_generation(w->crew) || crew_state(w->crew) != CREW_READY)
        return; // of ranks that are broken, which the engine is about to hear
    bool canary = head.is_canary != 0;
    if (w->n_posted >= (canary ? 1 : board_slots(&w->start.shape)) || w->canary) {
        end_for_nonsense(w);
        return;
    }
    struct given_step *given = &w->steps[slot_of_step(w, head.number)];
    w->n_posted++;
    w->posted = head.number;
    w->canary = canary;
    given->n_logits = step.n_logits;
    given->n_captured = far_captured_rows(&w->start.shape, canary ? NULL : &step);
    if (step.n_logits)
        memcpy(given->logit_full, step.logit_full, (size_t)step.n_logits);
    if (canary)
        crew_post_canary(w->crew);
    else
        crew_post(w->crew, &step);
    crew_listen(w->crew);
}

static void hear_pages(struct far_worker *w, const struct far_frame *frame)
{
    int64_t n;
    if (!far_take(frame, &n, sizeof n) || n < 0 || n > w->start.shape.kv_pages) {
        end_for_nonsense(w);
        return;
    }
    if (w->crew && crew_state(w->crew) != CREW_BROKEN && n >= w->start.options.kv_pages_first)
        crew_want_pages(w->crew, n);
    w->start.options.kv_pages_first = n;
}

static void hear_end(struct far_worker *w, const struct far_frame *frame)
{
    char sentence[STATUS_MESSAGE_MAX];
    size_t bytes = frame->bytes < sizeof sentence - 1 ? frame->bytes : sizeof sentence - 1;
    memcpy(sentence, frame->payload, bytes);
    sentence[bytes] = '\0';
    w->said_broken = true;
    if (w->crew)
        crew_break(w->crew, sentence);
}

static void hear_quit(struct far_worker *w, const struct far_frame *frame)
{
    int32_t more;
    if (!far_take(frame, &more, sizeof more)) {
        end_for_nonsense(w);
        return;
    }
    w->quitting = true;
    if (w->options->more)
        *w->options->more = more != 0;
}

static void hear_engine(struct far_worker *w)
{
    struct far_frame frame;
    far_link_read(&w->link);
    while (!w->link.ended && !w->quitting && far_link_next(&w->link, &frame)) {
        switch (frame.type) {
        case FAR_START:
            hear_how_to_start(w, &frame);
            break;
        case FAR_STEP:
            hear_step(w, &frame);
            break;
        case FAR_PAGES:
            hear_pages(w, &frame);
            break;
        case FAR_END:
            hear_end(w, &frame);
            break;
        case FAR_QUIT:
            hear_quit(w, &frame);
            break;
        default:
            end_for_nonsense(w);
        }
    }
}

// ---- the crew

static void look_at_crew(struct far_worker *w)
{
    switch (crew_poll(w->crew)) {
    case CREW_LOADING:
        if (clock_ns() - w->said_ns > TICK_MS * 1000000ll)
            say_state(w);
        break;
    case CREW_READY:
        if (!w->said_ready) {
            uint64_t generation = crew_generation(w->crew);
            say_state(w);
            send_engine(w, FAR_READY, &generation, sizeof generation);
            w->said_ready = true;
        }
        while (w->n_posted && (w->canary ? !crew_is_checking(w->crew) : crew_take(w->crew)))
            say_done(w);
        if (w->n_posted)
            crew_listen(w->crew);
        else if (crew_touched_pages(w->crew) < w->start.options.kv_pages_first &&
                 clock_ns() - w->said_ns > TICK_MS * 1000000ll)
            say_state(w);
        break;
    case CREW_BROKEN:
        w->n_posted = 0;
        if (!w->said_broken)
            say_broken(w, crew_generation(w->crew), crew_exit_status(w->crew),
                       crew_last_failure(w->crew));
        if (!w->said_gone && crew_is_gone(w->crew))
            say_gone(w, crew_generation(w->crew));
        break;
    }
}

static void note_state(const struct far_worker *w)
{
    int state = WORKER_WAITS;
    if (w->crew)
        state = crew_state(w->crew) == CREW_READY ? WORKER_READY
                : crew_generation(w->crew) > 1    ? WORKER_RESTARTS
                                                  : WORKER_LOADS;
    if (w->options->state) // relaxed: a number on its own
        atomic_store_explicit(w->options->state, state, memory_order_relaxed);
}

// The next step follows soon after the last one's results: then looking again and again, while
// others may have the CPU, hears it some ten microseconds earlier than who is woken up.
static void await_news(const struct far_worker *w)
{
    struct pollfd fds[2] = {
        {.fd = w->link.fd, .events = (short)(POLLIN | (far_link_flushed(&w->link) ? 0 : POLLOUT))},
        {.fd = w->crew ? crew_fd(w->crew) : -1, .events = POLLIN},
    };
    if (w->crew && w->n_posted == 0)
        for (int64_t end = w->done_ns + EAGER_NS; clock_ns() < end; sched_yield())
            if (poll(fds, 2, 0) != 0)
                return;
    (void)poll(fds, 2, TICK_MS); // a signal: looks a little earlier
}

static void ask_agent(struct far_worker *w)
{
    char sentence[STATUS_MESSAGE_MAX];
    int node;
    if (w->options->agent && node_agent_fault(w->options->agent, &node, sentence, sizeof sentence))
        far_link_end(&w->link, sentence);
}

static enum status work_for_engine(struct far_worker *w)
{
    while (!w->quitting) {
        if (w->options->check)
            TRY(w->options->check(w->options->context));
        await_news(w);
        hear_engine(w); // first: an engine that lets us go leaves then
        ask_agent(w);
        if (w->crew && !w->quitting)
            look_at_crew(w);
        note_state(w);
        far_link_flush(&w->link);
        if (w->link.ended && !w->quitting)
            return fail(ERR_GROUP, "the engine's node is lost: %s", w->link.why);
    }
    return OK;
}

enum status far_worker_new(const struct far_worker_options *options, struct far_worker **out)
{
    TRY(memory_new(1, sizeof **out, "this node's ranks", out));
    (*out)->options = options;
    far_link_init(&(*out)->link, -1, 0);
    return OK;
}

void far_worker_free(struct far_worker *w)
{
    if (!w)
        return;
    crew_stop(w->crew);
    free_rooms(w);
    free(w);
}

// The ranks that worked for the engine that is lost go; their weights stay.
static void break_for_loss(struct far_worker *w)
{
    if (w->crew && crew_state(w->crew) != CREW_BROKEN)
        crew_break(w->crew, "the engine's node is lost");
    if (w->crew)
        crew_join(w->crew, NULL);
    w->n_posted = 0;
    w->said_ready = w->said_broken = w->said_gone = true; // to whom?
    note_state(w);
}

enum status far_worker_run(struct far_worker *w, bool *lost)
{
    const struct far_worker_options *options = w->options;
    assert(options->part.n_ranks > 0 && options->part.first_rank > 0);
    *lost = w->started = false;
    far_link_init(&w->link, options->fd,
                  w->crew ? far_payload_max(&w->start.shape) : START_BYTES_MAX);
    if (w->crew)
        crew_join(w->crew, options->agent);
    enum status status = work_for_engine(w);
    char sentence[STATUS_MESSAGE_MAX];
    snprintf(sentence, sizeof sentence, "%s", status == OK ? "" : status_message());
    if (w->link.ended && !w->quitting) {
        *lost = true;
        break_for_loss(w);
    }
    w->link.fd = -1; // the caller's
    far_link_fini(&w->link);
    return status == OK ? OK : fail(status, "%s", sentence);
}
