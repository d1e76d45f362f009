#include "comm/group_member.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"

static void note_stop(struct member *member, bool stopped)
{
    if (!stopped)
        member->stopped_ns = 0;
    else if (member->stopped_ns == 0)
        member->stopped_ns = clock_ns();
}

// Of our child, without collecting. False: how it left is lost, as the program ignores SIGCHLD or
// waits for everything.
static bool look_at_process(pid_t pid, siginfo_t *info)
{
    *info = (siginfo_t){0};
    return waitid(P_PID, (id_t)pid, info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) == 0 ||
           errno != ECHILD;
}

static void look_at_own_child(struct member *member)
{
    siginfo_t info;
    if (!look_at_process(member->process.pid, &info)) {
        // A rank that closed left in peace.
        bool closed = atomic_load_explicit(&member->record->closed, memory_order_relaxed) != 0;
        member->left = true;
        member->code = CLD_EXITED;
        member->status = closed ? 0 : 1;
        return;
    }
    bool stopped = info.si_pid != 0 && info.si_code == CLD_STOPPED;
    note_stop(member, stopped);
    if (info.si_pid == 0)
        return;
    member->code = info.si_code;
    member->status = info.si_status;
    member->left = !stopped;
}

// ---- one that has a keeper ----

static void take_keeper_message(struct member *member, const struct keeper_message *message)
{
    switch ((enum keeper_event)message->event) {
    case KEEPER_STARTED:
        member->process = process_handle_open(message->pid);
        // relaxed: ranks look until it is there
        atomic_store_explicit(&member->record->pid, message->pid, memory_order_relaxed);
        if (member->doomed)
            process_kill(&member->process, SIGKILL);
        break;
    case KEEPER_STOPPED:
        member->code = CLD_STOPPED;
        member->status = message->status;
        note_stop(member, true);
        break;
    case KEEPER_CONTINUED:
        note_stop(member, false);
        break;
    case KEEPER_LEFT:
        member->left = true;
        member->code = message->code;
        member->status = message->status;
        break;
    case KEEPER_START:
    case KEEPER_LOADED:
        break;
    }
}

static void look_at_keeper(struct member *member)
{
    siginfo_t info;
    struct keeper_handle *keeper = member->keeper;
    bool known = look_at_process(keeper->process.pid, &info);
    bool stopped = known && info.si_pid != 0 && info.si_code == CLD_STOPPED;
    bool works = member->process.pid && !process_is_gone(&member->process);
    // That of a rank that works is not missed before it is needed.
    if (!works && stopped != member->keeper_stopped)
        note_stop(member, stopped);
    member->keeper_stopped = !works && stopped;
    if (stopped && (member->doomed || (member->process.pid && !works)))
        process_kill(&keeper->process, SIGKILL); // it would not tell how the rank left
    if (stopped && works)
        return;
    if (known && info.si_pid == 0)
        return;
    member->code = known ? info.si_code : CLD_EXITED;
    member->status = known ? info.si_status : 1;
    if (stopped)
        return;
    member->keeper_gone = true;
    process_kill(&member->process, SIGKILL);
}

static void hear_keeper(struct member *member)
{
    struct keeper_message message;
    while (!member->left && keeper_hear(member->keeper, &message))
        take_keeper_message(member, &message);
}

void member_look(struct member *member)
{
    if (member->left)
        return;
    if (!member->keeper) {
        look_at_own_child(member);
        return;
    }
    if (!member->keeper_gone) {
        hear_keeper(member);
        if (!member->left)
            look_at_keeper(member);
        if (member->keeper_gone) {
            hear_keeper(member); // what it said last
            keeper_hang_up(member->keeper);
        }
    }
    if (member->keeper_gone && !member->left) // nobody tells
        member->left = !member->process.pid || process_is_gone(&member->process);
}

bool member_failed(const struct member *member)
{
    return (member->left || member->keeper_gone) &&
           (member->code != CLD_EXITED || member->status != 0);
}

int member_exit_status(const struct member *member)
{
    return member->code == CLD_EXITED ? member->status : 128 + member->status;
}

pid_t member_pid(const struct member *member)
{
    if (!member->keeper)
        return member->process.pid;
    if (member->keeper_gone || member->keeper_stopped)
        return member->keeper->process.pid;
    if (member->process.pid)
        return member->process.pid;
    // relaxed: a number. Who was forked knows its own before the keeper has told us.
    return (pid_t)atomic_load_explicit(&member->record->member_pid, memory_order_relaxed);
}

int member_fd(const struct member *member)
{
    return !member->keeper               ? member->process.fd
           : member->keeper->socket >= 0 ? member->keeper->socket
                                         : member->process.fd;
}

void member_kill(struct member *member, int signal)
{
    if (member->left)
        return;
    member->doomed |= signal == SIGKILL;
    process_kill(&member->process, signal);
    // One that loads looks at nothing else; one that is stopped tells nothing.
    if (member->keeper && (!member->keeper->loaded || member->keeper_stopped))
        process_kill(&member->keeper->process, signal);
}

void member_collect(struct member *member)
{
    siginfo_t info = {0};
    if (!member->process.pid || !member->left)
        return;
    if (!member->keeper)
        waitid(P_PID, (id_t)member->process.pid, &info, WEXITED | WNOHANG);
    process_handle_close(&member->process);
}
