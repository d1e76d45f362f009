// The crew: the ranks that work for an engine, their board, and all that is needed to start them
// again, as one object. It knows steps, not requests: whoever posts a step owns what it is for, and
// may post it once more after a restart.
//
//   crew_new ─ LOADING ─ READY ─ BROKEN ─ crew_restart ─ LOADING ─ …
//
// A crew that is ready and idle does a canary step now and then, in which all threads of all ranks
// meet once, so that one that hangs is found before somebody needs it.
//
// Nothing here waits but crew_await…() and crew_stop(); starting ranks takes some milliseconds, for
// their processes and the board's pages. crew_fd() becomes readable when crew_poll()
// has news: a step is done, a rank died, a while has passed (loading progresses, the clock of
// deadlines ticks).
#ifndef COLROW_ENGINE_CREW_H
#define COLROW_ENGINE_CREW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/file.h"
#include "base/status.h"
#include "comm/flight_record.h"
#include "comm/segment.h"
#include "engine/board.h"
#include "model/step.h"

struct crew;
struct far_nodes;  // far_nodes.h
struct node_agent; // comm/node_agent.h
enum crew_state { CREW_LOADING, CREW_READY, CREW_BROKEN };

struct crew_options {
    char program[FILE_PATH_MAX]; // that ranks run
    struct board_shape shape;
    struct board_options board;   // generation, first_step and bell_fd are the crew's to fill
    double deadline_seconds;      // without progress in a collective
    double step_timeout_seconds;  // of a step; 0: from what steps took (step_watch.h)
    double canary_seconds;        // an idle crew does a canary step so often; 0: never
    char launcher[FILE_PATH_MAX]; // the program that starts ranks (comm/launcher.h); "": we do
    bool crowded;                 // ranks take every CPU: waiting must not take one from them
    // "NAME=value" that ranks find beside our environment, NULL-terminated; borrowed; may be NULL
    const char *const *environment;

    // Of several nodes: this one's part; all zeros: there is one. board.generation and first_step
    // are then the first ones; 0: 1.
    struct world_part part;
    struct node_agent *agent; // that carries its ranks' addresses; borrowed; NULL: nobody need
    struct far_nodes *far;    // that work for this crew; borrowed; NULL: none
    // Lost ones are looked for before ranks start again: never waits, and fails when they will not
    // come. `*found`: `*agent` and `*far` are the new ones; the old ones are gone.
    enum status (*find_nodes)(void *context, struct node_agent **agent, struct far_nodes **far,
                              bool *found);
    void *nodes_context;
    const bool *more; // when it stops: another engine follows on `far`; borrowed; NULL: none does
};

// Starts the ranks, those of this node. `options` are copied.
enum status crew_new(const struct crew_options *options, struct crew **out) STATUS_MUST_USE;
// Lets idle ranks leave by themselves, ends who does not, waits for all, frees. Accepts NULL.
void crew_stop(struct crew *crew);

// Looks what has happened, and says what the crew is now. CREW_BROKEN: the ranks are being ended;
// crew_fail() says why.
enum crew_state crew_poll(struct crew *crew);
enum crew_state crew_state(const struct crew *crew); // as crew_poll() saw it last
// ERR_GROUP with the sentence of what broke the crew.
enum status crew_fail(const struct crew *crew);
// That sentence, also after a restart; "" where it never broke.
const char *crew_last_failure(const struct crew *crew);
// Of a broken crew: how the rank left that broke it, as shells say it (128 + N: by signal N), 1
// when it was ended for what it did, 0 when no rank is to blame.
int crew_exit_status(const struct crew *crew);
// ... and whether its ranks were ready then, with neither a step nor a canary under way.
bool crew_was_idle(const struct crew *crew);
// Of a broken crew: as soon as its ranks are gone, and not before `delay_ns` have passed,
// crew_poll() starts new ones, and the state is CREW_LOADING from now on. What was posted is
// forgotten, KV pages are empty, step numbers go on.
void crew_restart(struct crew *crew, int64_t delay_ns);
bool crew_is_hopeless(const struct crew *crew); // a lost node does not come back
// Of a hopeless crew: other ranks, on other nodes, which find_nodes() is to find. Of `options`,
// which are copied, program and times stay as they were.
enum status crew_reshape(struct crew *crew, const struct crew_options *options) STATUS_MUST_USE;
void crew_add_reason(struct crew *crew, const char *more); // to what crew_fail() says
// Of a node that works for an engine elsewhere: the engine says that the group is broken; who
// carries the addresses of ranks from now on; the next generation and its first step; a canary,
// which goes as a step does but has no results to take.
void crew_break(struct crew *crew, const char *sentence);
void crew_join(struct crew *crew, struct node_agent *agent);
void crew_number_from(struct crew *crew, uint64_t generation, uint64_t first_step);
void crew_post_canary(struct crew *crew);
// Nothing is left of the ranks of a broken crew.
bool crew_is_gone(struct crew *crew);

// The first `n` KV pages are to get their memory on every rank, in the background; those of a
// generation to come have it before they are ready. Never fewer than before, but of a broken crew.
void crew_want_pages(struct crew *crew, int64_t n);
// So many have it on all ranks; crew_fd() becomes readable as they become more.
int64_t crew_touched_pages(const struct crew *crew);
// For who waits for them: crew_fd() also becomes readable now and then.
void crew_watch(struct crew *crew);

int crew_fd(const struct crew *crew);
// Makes crew_fd() readable until the next crew_poll(), for news of the caller's own.
void crew_ring(struct crew *crew);

// Of a ready crew without a canary, and with fewer steps under way than the board has slots. The
// step gets the next number: they count from 1 on, canaries too, without gaps.
void crew_post(struct crew *crew, const struct step *step);
// True, once for each step posted and in their order, when its results are there: crew_results()
// until the next crew_post(). Never waits.
bool crew_take(struct crew *crew);
// With a step under way: crew_fd() will become readable when the results of the oldest are there.
void crew_listen(struct crew *crew);
// crew_take() that waits. Fails when the crew breaks.
enum status crew_await_step(struct crew *crew) STATUS_MUST_USE;
// A canary is under way: nothing can be posted. crew_fd() becomes readable when it is over.
bool crew_is_checking(const struct crew *crew);
// Waits until none is. Fails when the crew breaks.
enum status crew_await_free(struct crew *crew) STATUS_MUST_USE;
// Waits a moment for crew_fd(), then looks as crew_poll() does.
enum crew_state crew_await_news(struct crew *crew);
// Waits until the crew is ready; `progress` (may be NULL) is called now and then meanwhile.
enum status crew_await_ready(struct crew *crew, void (*progress)(void *context),
                             void *context) STATUS_MUST_USE;

const struct step_results *crew_results(const struct crew *crew);
// Of the step taken last: what the slowest rank needed, and clock_ns() when the last one was done.
int64_t crew_step_ns(const struct crew *crew, int64_t *end_ns);
const struct board_rank *crew_rank(const struct crew *crew, int rank); // what it has written
pid_t crew_pid(const struct crew *crew, int rank);                     // 0: none now
uint64_t crew_bytes_read(const struct crew *crew); // while loading, of all ranks
// When the last step or canary was done, or these ranks were ready: clock_ns(); 0: never.
int64_t crew_done_ns(const struct crew *crew);
// One is under way for more than half of the time after which it ends the group.
bool crew_step_overdue(const struct crew *crew);
// What a rank has done, canaries included.
void crew_report(const struct crew *crew, int rank, struct flight_report *out);
uint64_t crew_generation(const struct crew *crew); // 1, 2 after a restart, …

#endif
