// Each call in a process of its own, which is thrown away.
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/confinement.h"

enum outcome { WORKS, REFUSED, DIES };
enum { NO_FILTER = 70, OTHER_ERROR = 71 };

// ---- what is tried: true: it works; false: errno says why not ----

static bool run_a_program(void)
{
    char *argv[] = {(char[]){"true"}, NULL}, *environment[] = {NULL};
    execve("/bin/true", argv, environment);
    return false;
}

static bool make_a_process(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child > 0 && waitpid(child, NULL, 0) == child;
}

static void *end_at_once(void *context)
{
    return context;
}

static bool make_a_thread(void)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, end_at_once, NULL);
    return errno == 0 && pthread_join(thread, NULL) == 0;
}

static bool open_a_file(void)
{
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && close(fd) == 0;
}

static bool call_somebody(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool make_a_local_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM, 0) >= 0;
}

static bool listen_somewhere(void)
{
    return listen(STDIN_FILENO, 1) == 0;
}

static bool take_memory(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED && mprotect(memory, 4096, PROT_READ) == 0 &&
           munmap(memory, 4096) == 0;
}

static bool take_memory_for_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool read_others_memory(void)
{
    return process_vm_readv(getppid(), NULL, 0, NULL, 0, 0) == 0;
}

static bool end_others(void)
{
    return kill(getppid(), SIGCONT) == 0;
}

static bool ask_for_others(void)
{
    return kill(getppid(), 0) == 0;
}

static bool watch_others(void)
{
    return syscall(SYS_pidfd_open, getppid(), 0) >= 0;
}

static bool say_something(void)
{
    return write(STDERR_FILENO, "", 0) == 0;
}

// ---- how it is tried ----

static int end_with(bool works)
{
    return works ? 0 : errno == EPERM ? 1 : OTHER_ERROR;
}

static void in_a_child(enum confinement kind, bool (*call)(void))
{
    const char *why;
    forbid_core_dumps();
    if (!confine(kind, &why))
        _exit(NO_FILTER);
    _exit(end_with(call()));
}

static void expect(enum confinement kind, bool (*call)(void), enum outcome expected)
{
    int how;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        in_a_child(kind, call);
    assert_int_equal(waitpid(child, &how, 0), child);
    if (expected == DIES)
        assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGSYS);
    else
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == (expected == WORKS ? 0 : 1));
}

static void need_filters(void)
{
    int how;
    pid_t child = fork();
    if (child == 0) {
        const char *why;
        bool good = confine(CONFINE_FRONT_END, &why);
        if (!good)
            print_message("nothing is confined: %s\n", why);
        _exit(good ? 0 : NO_FILTER);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    if (WEXITSTATUS(how) == NO_FILTER)
        skip();
}

static void front_ends(void **state)
{
    (void)state;
    need_filters();
    expect(CONFINE_FRONT_END, run_a_program, DIES);
    expect(CONFINE_FRONT_END, make_a_process, DIES);
    expect(CONFINE_FRONT_END, call_somebody, DIES);
    expect(CONFINE_FRONT_END, listen_somewhere, DIES);
    expect(CONFINE_FRONT_END, read_others_memory, DIES);
    expect(CONFINE_FRONT_END, make_a_thread, WORKS);
    expect(CONFINE_FRONT_END, open_a_file, WORKS);
    expect(CONFINE_FRONT_END, make_a_local_socket, WORKS);
    expect(CONFINE_FRONT_END, take_memory, WORKS);
}

static void head_nodes(void **state)
{
    (void)state;
    need_filters();
    expect(CONFINE_HEAD_NODE, run_a_program, DIES);
    expect(CONFINE_HEAD_NODE, make_a_process, DIES);
    expect(CONFINE_HEAD_NODE, call_somebody, WORKS);
    expect(CONFINE_HEAD_NODE, make_a_thread, WORKS);
}

static void keepers(void **state)
{
    (void)state;
    need_filters();
    expect(CONFINE_KEEPER, run_a_program, DIES);
    expect(CONFINE_KEEPER, call_somebody, DIES);
    expect(CONFINE_KEEPER, make_a_local_socket, DIES);
    expect(CONFINE_KEEPER, listen_somewhere, DIES);
    expect(CONFINE_KEEPER, read_others_memory, DIES);
    expect(CONFINE_KEEPER, make_a_process, WORKS);
    expect(CONFINE_KEEPER, make_a_thread, WORKS);
    expect(CONFINE_KEEPER, open_a_file, WORKS);
}

static void ranks(void **state)
{
    (void)state;
    need_filters();
    expect(CONFINE_RANK, run_a_program, DIES);
    expect(CONFINE_RANK, make_a_process, DIES);
    expect(CONFINE_RANK, call_somebody, DIES);
    expect(CONFINE_RANK, make_a_local_socket, DIES);
    expect(CONFINE_RANK, listen_somewhere, DIES);
    expect(CONFINE_RANK, read_others_memory, DIES);
    expect(CONFINE_RANK, open_a_file, REFUSED);
    expect(CONFINE_RANK, take_memory_for_code, REFUSED);
    expect(CONFINE_RANK, end_others, REFUSED);
    expect(CONFINE_RANK, ask_for_others, WORKS);
    expect(CONFINE_RANK, watch_others, WORKS);
    expect(CONFINE_RANK, take_memory, WORKS);
    expect(CONFINE_RANK, make_a_thread, WORKS);
    expect(CONFINE_RANK, say_something, WORKS);
}

static sem_t confined;

static void *wait_and_run(void *context)
{
    sem_wait(&confined);
    run_a_program();
    return context;
}

static bool let_the_other_thread_try(void)
{
    sem_post(&confined);
    return pause() == 0; // until it has ended us all
}

static void threads_that_were_there_are_held_too(void **state)
{
    (void)state;
    need_filters();
    int how;
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        sem_init(&confined, 0, 0);
        if (pthread_create(&thread, NULL, wait_and_run, NULL))
            _exit(1);
        in_a_child(CONFINE_FRONT_END, let_the_other_thread_try);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGSYS);
}

// abort() must still say what it was that went wrong.
static bool give_up(void)
{
    if (getppid() > 0)
        abort();
    return true;
}

static void a_rank_can_abort(void **state)
{
    (void)state;
    need_filters();
    int how;
    pid_t child = fork();
    if (child == 0)
        in_a_child(CONFINE_RANK, give_up);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}

// Holds also where there are no filters.
static void nothing_is_dumped_and_no_privileges_gained(void **state)
{
    (void)state;
    int how;
    pid_t child = fork();
    if (child == 0) {
        const char *why;
        struct rlimit limit;
        forbid_core_dumps();
        bool none = getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0;
        bool hidden = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
        (void)confine(CONFINE_FRONT_END, &why);
        _exit(none && hidden && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(front_ends),
        cmocka_unit_test(head_nodes),
        cmocka_unit_test(keepers),
        cmocka_unit_test(ranks),
        cmocka_unit_test(threads_that_were_there_are_held_too),
        cmocka_unit_test(a_rank_can_abort),
        cmocka_unit_test(nothing_is_dumped_and_no_privileges_gained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
