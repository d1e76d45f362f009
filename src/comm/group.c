#include "comm/group.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/flight_record.h"
#include "comm/group_member.h"
#include "comm/group_spawn.h"
#include "comm/reduction_tree.h"
#include "comm/segment.h"

// Stopped and late ranks are looked at twice, this far apart: after Ctrl-Z and `fg`, or a virtual
// machine's snapshot, the whole group looks stopped and late for a moment.
// A rank of another node that is accused here is first explained there, where its process can be
// asked: that word is waited for.
enum { SECOND_LOOK_NS = 250000000, REAP_NS = 900000000, OTHER_NODE_NS = 1000000000, LOOK_MS = 20 };
enum { DEADLINE_DEFAULT_SECONDS = 60, NAME_BYTES = 64 };

struct suspicion {
    int64_t key, seen_ns; // of what, since when; seen_ns 0: none
};

struct group {
    struct segment segment;
    int n_ranks;
    int life_fd; // the only writing end
    bool over, hasty, joins;
    int exit_status;
    char sentence[VERDICT_BYTES + PLACE_BYTES + 128];
    struct suspicion late, deserted, accused;
    bool told; // by another node
    char word[VERDICT_BYTES];
    struct member member[];
};

static bool all_left(const struct group *group)
{
    for (int r = 0; r < group->n_ranks; r++)
        if (!group->member[r].left)
            return false;
    return true;
}

// Those that have not left, for poll(); returns their number.
static int fds_of_running(const struct group *group, struct pollfd fds[COMM_RANKS_MAX])
{
    int n = 0;
    for (int r = 0; r < group->n_ranks; r++)
        if (!group->member[r].left && member_fd(&group->member[r]) >= 0)
            fds[n++] = (struct pollfd){.fd = member_fd(&group->member[r]), .events = POLLIN};
    return n;
}

// Until all have left or `end_ns` has come.
static void await_exits(struct group *group, int64_t end_ns)
{
    for (;;) {
        for (int r = 0; r < group->n_ranks; r++)
            if (!group->member[r].left)
                member_look(&group->member[r]);
        int64_t rest = end_ns - clock_ns();
        if (all_left(group) || rest <= 0)
            return;
        struct pollfd fds[COMM_RANKS_MAX];
        int n = fds_of_running(group, fds), slice = rest / 1000000 < LOOK_MS ? 1 : LOOK_MS;
        if (poll(fds, (nfds_t)n, slice) < 0 && errno != EINTR)
            return;
    }
}

// To every rank that runs.
static void group_signal(struct group *group, int signal)
{
    for (int r = 0; r < group->n_ranks; r++)
        member_kill(&group->member[r], signal);
}

// Waits for those that were killed, and collects them. Who is still busy dying in the kernel is
// left for the next time.
static void reap(struct group *group, int64_t patience_ns)
{
    await_exits(group, clock_ns() + patience_ns);
    for (int r = 0; r < group->n_ranks; r++)
        member_collect(&group->member[r]);
}

static void kill_and_reap(struct group *group)
{
    atomic_store_explicit(&group->segment.header->closing, 1, memory_order_relaxed);
    group_signal(group, SIGKILL);
    reap(group, group->hasty ? 0 : REAP_NS);
}

static int world_rank(const struct group *group, int rank)
{
    return group->segment.first_rank + rank;
}

// Another node's word has the ending already.
static enum status end_group(struct group *group, int exit_status, const char *sentence)
{
    static const char ending[] = "; the group was ended";
    group->over = true;
    group->exit_status = exit_status;
    bool ended = strstr(sentence, ending) != NULL;
    snprintf(group->sentence, sizeof group->sentence, "%s%s", sentence, ended ? "" : ending);
    verdict_give(&group->segment, -1, -1, group->sentence);
    kill_and_reap(group);
    return fail(ERR_GROUP, "%s", group->sentence);
}

static void rank_place(const struct group *group, int rank, char *place)
{
    const struct rank_record *record = &group->segment.ranks[rank];
    // relaxed: for people
    if (group->joins && atomic_load_explicit(&record->member_pid, memory_order_relaxed) == 0)
        snprintf(place, PLACE_BYTES, " while starting");
    else
        flight_place(&record->flight, place);
}

// "rank 1 (pid 77)"; where only its keeper can be named, that.
static void rank_name(const struct group *group, int rank, char *name)
{
    const struct member *member = &group->member[rank];
    bool keeper = member->keeper_gone || member->keeper_stopped;
    snprintf(name, NAME_BYTES, "%srank %d (pid %d)",
             keeper && member->process.pid ? "the keeper of " : "", world_rank(group, rank),
             (int)member_pid(member));
}

static enum status end_for_exit(struct group *group, int rank)
{
    const struct member *member = &group->member[rank];
    char name[NAME_BYTES], place[PLACE_BYTES], sentence[VERDICT_BYTES];
    rank_name(group, rank, name);
    rank_place(group, rank, place);
    if (member->code == 0)
        snprintf(sentence, sizeof sentence, "a process for rank %d cannot be made: %s",
                 world_rank(group, rank), strerror(member->status));
    else if (member->code == CLD_EXITED)
        snprintf(sentence, sizeof sentence, "%s left with exit status %d%s", name, member->status,
                 place);
    else
        snprintf(sentence, sizeof sentence, "%s was killed by signal %d (%s%s)%s", name,
                 member->status, strsignal(member->status),
                 member->status == SIGSYS ? ": it made a call that its confinement forbids" : "",
                 place);
    return end_group(group, member_exit_status(member), sentence);
}

// How a rank ended its keeper says, and a peer that sees it gone may be faster.
static void await_word(struct member *member)
{
    for (int i = 0; i < LOOK_MS && !member->left && process_is_gone(&member->process); i++) {
        struct pollfd news = {.fd = member_fd(member), .events = POLLIN};
        (void)poll(&news, 1, 1);
        member_look(member);
    }
}

// A rank has said what broke the group. Its word is the best there is, but when the culprit is dead
// the kernel knows more.
static enum status end_for_verdict(struct group *group, const struct verdict *verdict)
{
    int culprit = verdict->culprit < 0 ? -1 : verdict->culprit - group->segment.first_rank;
    if (culprit < 0 || culprit >= group->n_ranks)
        return end_group(group, 1, verdict->sentence);
    struct member *member = &group->member[culprit];
    await_word(member);
    if (verdict->author != verdict->culprit)
        return member_failed(member) ? end_for_exit(group, culprit)
                                     : end_group(group, 1, verdict->sentence);
    char place[PLACE_BYTES], sentence[VERDICT_BYTES + PLACE_BYTES + 64];
    rank_place(group, culprit, place);
    snprintf(sentence, sizeof sentence, "rank %d (pid %d) gave up%s: %s", verdict->culprit,
             (int)member_pid(member), place, verdict->sentence);
    return end_group(group, member_failed(member) ? member_exit_status(member) : 1, sentence);
}

static enum status end_for_stop(struct group *group, int rank)
{
    const struct member *member = &group->member[rank];
    char name[NAME_BYTES], place[PLACE_BYTES], sentence[VERDICT_BYTES];
    rank_name(group, rank, name);
    rank_place(group, rank, place);
    snprintf(sentence, sizeof sentence, "%s was stopped by signal %d (%s)%s", name, member->status,
             strsignal(member->status), place);
    return end_group(group, 1, sentence);
}

// True when the same thing has been suspected for long enough. key 0: nothing is.
static bool confirmed(struct suspicion *suspicion, int64_t key, int64_t patience_ns)
{
    int64_t now = clock_ns();
    if (key == 0 || suspicion->seen_ns == 0 || suspicion->key != key) {
        suspicion->key = key;
        suspicion->seen_ns = key ? now : 0;
        return false;
    }
    return now - suspicion->seen_ns >= patience_ns;
}

// A rank that left in peace although another waits for it.
static enum status check_deserted(struct group *group)
{
    int leaver = -1, waiter = -1;
    int64_t since = 0;
    for (int r = 0; r < group->n_ranks && leaver < 0; r++) {
        const struct flight_record *flight = &group->segment.ranks[r].flight;
        // relaxed: looked at twice
        int waits_for = flight_waits_for(&group->segment, flight);
        int peer = waits_for >= 0 ? waits_for - group->segment.first_rank : -1;
        if (group->member[r].left || peer < 0 || peer >= group->n_ranks ||
            !group->member[peer].left)
            continue;
        leaver = peer;
        waiter = r;
        since = atomic_load_explicit(&flight->wait_since_ns, memory_order_relaxed);
    }
    if (!confirmed(&group->deserted, since, SECOND_LOOK_NS))
        return OK;
    char place[PLACE_BYTES], sentence[VERDICT_BYTES];
    rank_place(group, waiter, place);
    snprintf(sentence, sizeof sentence,
             "rank %d (pid %d) left with exit status 0, but rank %d waits for it%s",
             world_rank(group, leaver), (int)member_pid(&group->member[leaver]),
             world_rank(group, waiter), place);
    return end_group(group, 1, sentence);
}

static enum status check_late(struct group *group)
{
    struct lateness late = {0};
    bool found = flight_find_late(&group->segment, clock_ns(), &late);
    if (!confirmed(&group->late, found ? late.key : 0, SECOND_LOOK_NS))
        return OK;
    char sentence[VERDICT_BYTES];
    flight_say_late(&group->segment, &late, sentence, sizeof sentence);
    return end_group(group, 1, sentence);
}

enum status group_end_late(struct group *group, int64_t step, const char *why)
{
    char late[VERDICT_BYTES], sentence[VERDICT_BYTES];
    flight_say_step(&group->segment, step, late, sizeof late);
    snprintf(sentence, sizeof sentence, "%.*s%s", VERDICT_BYTES - 160, late, why);
    return end_group(group, 1, sentence);
}

enum status group_end_still(struct group *group, const char *why)
{
    char still[VERDICT_BYTES], sentence[VERDICT_BYTES];
    flight_say_start(&group->segment, still, sizeof still);
    snprintf(sentence, sizeof sentence, "%.*s%s", VERDICT_BYTES - 160, still, why);
    return end_group(group, 1, sentence);
}

void group_end_keepers(struct group *group)
{
    for (int r = 0; r < group->n_ranks; r++)
        if (!group->member[r].left && group->member[r].keeper)
            process_kill(&group->member[r].keeper->process, SIGKILL);
}

void group_report(const struct group *group, int rank, struct flight_report *out)
{
    flight_report(&group->segment.ranks[rank].flight, out);
}

void group_give_verdict(struct group *group, int culprit, const char *sentence)
{
    if (group->told)
        return;
    group->told = true;
    snprintf(group->word, sizeof group->word, "%s", sentence);
    verdict_give(&group->segment, -1, culprit, sentence);
}

const char *group_verdict(const struct group *group, int *culprit)
{
    const struct verdict *verdict = verdict_read(&group->segment);
    *culprit = verdict ? verdict->culprit : -1;
    return verdict ? verdict->sentence : NULL;
}

// Of another node, and that has not said yet what became of it.
static bool is_accused_elsewhere(struct group *group, const struct verdict *verdict)
{
    int culprit = verdict->culprit;
    return culprit >= 0 && !segment_record(&group->segment, culprit) &&
           !confirmed(&group->accused, culprit + 1, OTHER_NODE_NS);
}

enum status group_check(void *context)
{
    struct group *group = context;
    if (group->over)
        return fail(ERR_GROUP, "%s", group->sentence);
    if (group->told)
        return end_group(group, 1, group->word);
    // The verdict before the processes: its author dies of it, and must not be taken for the cause.
    const struct verdict *verdict = verdict_read(&group->segment);
    for (int r = 0; r < group->n_ranks; r++)
        if (!group->member[r].left)
            member_look(&group->member[r]);
    if (!verdict)
        verdict = verdict_read(&group->segment);
    if (verdict && is_accused_elsewhere(group, verdict))
        return OK;
    if (verdict)
        return end_for_verdict(group, verdict);
    for (int r = 0; r < group->n_ranks; r++)
        if (member_failed(&group->member[r]))
            return end_for_exit(group, r);
    for (int r = 0; r < group->n_ranks; r++)
        if (group->member[r].stopped_ns &&
            clock_ns() - group->member[r].stopped_ns >= SECOND_LOOK_NS)
            return end_for_stop(group, r);
    TRY(check_deserted(group));
    return check_late(group);
}

enum status group_poll(struct group *group, int timeout_ms, int *n_running)
{
    struct pollfd fds[COMM_RANKS_MAX];
    int n = fds_of_running(group, fds);
    bool all_watched = n == group->n_ranks;
    if (!group->over && (!all_left(group) || group->accused.seen_ns))
        (void)poll(fds, (nfds_t)n, timeout_ms < LOOK_MS || all_watched ? timeout_ms : LOOK_MS);
    enum status status = group_check(group);
    *n_running = 0;
    for (int r = 0; r < group->n_ranks; r++)
        *n_running += !group->member[r].left;
    if (status == OK && *n_running == 0 && group->accused.seen_ns)
        *n_running = 1; // it is not over yet: another node's word is waited for
    return status;
}

enum status group_wait(struct group *group, int *exit_status)
{
    enum { SLICE_MS = 50 };
    for (int n_running = 1; n_running > 0;) {
        enum status status = group_poll(group, SLICE_MS, &n_running);
        *exit_status = group->exit_status;
        TRY(status);
    }
    return OK;
}

static enum status start_member(struct member *member, const struct group_options *options,
                                int rank, const struct rank_fds *fds)
{
    pid_t pid;
    if (options->keepers) {
        member->keeper = keepers_at(options->keepers, rank);
        TRY(keeper_start_rank(member->keeper, options, rank, fds));
        pid = member->keeper->process.pid;
        atomic_store_explicit(&member->record->keeper_pid, (int32_t)pid, memory_order_relaxed);
    } else {
        TRY(spawn_rank(options, rank, fds, &pid));
        member->process = process_handle_open(pid);
    }
    member->left = false;
    // relaxed: ranks look until it is there
    atomic_store_explicit(&member->record->pid, (int32_t)pid, memory_order_relaxed);
    return OK;
}

static enum status make_life_pipe(struct group *group, int *reading)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return fail_errno("create", "the group's life pipe");
    group->life_fd = ends[1];
    *reading = ends[0];
    return OK;
}

size_t group_shared_bytes(int n_ranks, size_t board_bytes)
{
    return segment_used_bytes(n_ranks, board_bytes);
}

enum status group_spawn(const struct group_options *options, struct group **out)
{
    int n = options->n_ranks;
    struct rank_fds fds = {-1, -1, -1, -1};
    struct world_part part;
    TRY(group_part(options, &part));
    assert(options->program && options->arguments);
    double deadline = options->deadline_seconds;
    if (!(deadline > 0))
        deadline = DEADLINE_DEFAULT_SECONDS;
    struct group *group;
    TRY(memory_new(1, sizeof *group + (size_t)n * sizeof group->member[0], "a group", &group));
    group->n_ranks = n;
    group->life_fd = -1;
    group->hasty = options->hasty;
    group->joins = options->joins;
    for (int r = 0; r < n; r++)
        group->member[r] = (struct member){.process = {0, -1}, .left = true}; // until started
    enum status status;
    TRY_DONE(segment_new(&part, options->board_bytes, deadline, &group->segment, &fds.segment));
    for (int r = 0; r < n; r++)
        group->member[r].record = &group->segment.ranks[r];
    TRY_DONE(spawn_raise_fd(&fds.segment));
    TRY_DONE(make_life_pipe(group, &fds.life));
    TRY_DONE(spawn_raise_fd(&fds.life));
    if (options->bell_fd > 0)
        TRY_DONE(spawn_copy_fd(options->bell_fd, &fds.bell));
    for (int r = 0; r < n; r++)
        TRY_DONE(start_member(&group->member[r], options, r, &fds));
done:
    rank_fds_close(&fds);
    if (status != OK)
        group_close(group, 0);
    else
        *out = group;
    return status;
}

void group_end(struct group *group, int signal, double grace_seconds)
{
    if (group->over)
        return;
    atomic_store_explicit(&group->segment.header->closing, 1, memory_order_relaxed);
    if (grace_seconds > 0 && !all_left(group)) {
        group_signal(group, signal);
        group_signal(group, SIGCONT); // a stopped rank could not hear it
        await_exits(group, clock_ns() + (int64_t)(grace_seconds * 1e9));
    }
    group->over = true;
    group->exit_status = 128 + signal;
    snprintf(group->sentence, sizeof group->sentence, "the group was ended");
    kill_and_reap(group);
}

void group_close(struct group *group, double grace_seconds)
{
    if (!group)
        return;
    if (group->segment.header)
        group_end(group, SIGTERM, grace_seconds);
    if (!all_left(group))
        reap(group, REAP_NS);
    for (int r = 0; r < group->n_ranks; r++)
        process_handle_close(&group->member[r].process);
    if (group->life_fd >= 0)
        close(group->life_fd);
    segment_unmap(&group->segment);
    free(group);
}

int group_exit_status(const struct group *group)
{
    return group->over ? group->exit_status : 0;
}

bool group_gone(struct group *group)
{
    reap(group, 0);
    return all_left(group);
}

struct segment *group_segment(struct group *group)
{
    return &group->segment;
}

void *group_board(const struct group *group)
{
    return segment_board(&group->segment);
}

int group_size(const struct group *group)
{
    return group->n_ranks;
}

int group_process_fd(const struct group *group, int rank)
{
    assert(rank >= 0 && rank < group->n_ranks);
    return member_fd(&group->member[rank]);
}

pid_t group_pid(const struct group *group, int rank)
{
    assert(rank >= 0 && rank < group->n_ranks);
    const struct member *member = &group->member[rank];
    if (!member->keeper) // also when it has been collected
        return (pid_t)atomic_load_explicit(&member->record->pid, memory_order_relaxed);
    pid_t pid = member_pid(member);
    return pid ? pid : member->keeper->process.pid;
}
