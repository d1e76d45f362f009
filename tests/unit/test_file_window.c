// Windows onto files that others cut while we look.
#include "testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/file_window.h"

enum { PAGE = 4096, PAGES = 40, ELSEWHERE = 42 };

static char path[64];
static int file;
static unsigned char bytes[PAGES * PAGE];

static int make_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i / PAGE + i * 7 + 1);
    snprintf(path, sizeof path, "/tmp/colrow-window-XXXXXX");
    file = mkstemp(path);
    return file >= 0 && write(file, bytes, sizeof bytes) == (ssize_t)sizeof bytes ? 0 : -1;
}

static int remove_file(void **state)
{
    (void)state;
    close(file);
    return unlink(path);
}

static void windows_show_the_file(void **state)
{
    (void)state;
    static const size_t cuts[][2] = {{0, 1},           {0, sizeof bytes}, {PAGE - 1, 2},
                                     {3 * PAGE, PAGE}, {12345, 54321},    {sizeof bytes - 1, 1}};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct file_window w;
        assert_true(file_window_open(file, cuts[i][0], cuts[i][1], &w));
        assert_memory_equal(w.data, bytes + cuts[i][0], cuts[i][1]);
        assert_true(file_window_close(&w));
    }
}

static void what_cannot_be_mapped_is_refused(void **state)
{
    (void)state;
    struct file_window w;
    assert_false(file_window_open(-1, 0, 1, &w));
    assert_false(file_window_open(file, UINT64_MAX - 5, 4, &w));
    assert_false(file_window_open(file, PAGE + 1, SIZE_MAX, &w));
    int proc = open("/proc/self/status", O_RDONLY); // a file that has no pages
    assert_true(proc >= 0);
    assert_false(file_window_open(proc, 0, 100, &w));
    close(proc);
    assert_true(file_window_open(file, 0, 1, &w)); // none of them counts as open
    assert_true(file_window_close(&w));
}

static void a_file_cut_before_or_while_it_is_read_is_noticed(void **state)
{
    (void)state;
    struct file_window w;
    file_window_guard_begin();
    assert_true(file_window_open(file, PAGE / 2, 20 * PAGE, &w));
    assert_int_equal(w.data[0], (char)bytes[PAGE / 2]);
    assert_int_equal(ftruncate(file, 10 * PAGE), 0);
    for (size_t i = 0; i < 20 * PAGE; i++)
        if (i >= 10 * PAGE)
            assert_int_equal(w.data[i], 0);
    assert_false(file_window_close(&w));
    assert_true(file_window_open(file, 0, 10 * PAGE, &w)); // what is left is as good as before
    assert_memory_equal(w.data, bytes, 10 * PAGE);
    assert_true(file_window_close(&w));
    assert_true(file_window_open(file, 9 * PAGE, 2 * PAGE, &w));
    assert_int_equal(w.data[PAGE + 1], 0);
    assert_false(file_window_close(&w));
    file_window_guard_end();
}

// The rest of the last page reads as zeros, without a signal.
static void a_cut_inside_a_page_is_noticed(void **state)
{
    (void)state;
    struct file_window w;
    assert_true(file_window_open(file, 0, PAGE, &w));
    assert_int_equal(ftruncate(file, PAGE - 1), 0);
    assert_int_equal(w.data[PAGE - 1], 0);
    assert_false(file_window_close(&w));
    assert_true(file_window_open(file, 0, PAGE - 1, &w));
    assert_memory_equal(w.data, bytes, PAGE - 1);
    assert_true(file_window_close(&w));
}

static void leave(int signal)
{
    (void)signal;
    _exit(ELSEWHERE);
}

// In a process of its own: `sent` by kill(), or of a mapping that is no window.
static int status_of_foreign_signal(bool sent)
{
    pid_t child = fork();
    if (child == 0) {
        struct file_window w;
        signal(SIGBUS, leave);
        file_window_guard_begin();
        file_window_guard_begin();
        file_window_guard_end(); // the outer one still holds
        const char *other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 30 * PAGE);
        if (other == MAP_FAILED || !file_window_open(file, 0, PAGE, &w) ||
            ftruncate(file, PAGE) != 0)
            _exit(1);
        if (sent)
            raise(SIGBUS);
        else
            _exit(((const volatile char *)other)[0]);
        _exit(2);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void other_signals_go_where_they_went(void **state)
{
    (void)state;
    assert_int_equal(status_of_foreign_signal(false), ELSEWHERE);
    assert_int_equal(status_of_foreign_signal(true), ELSEWHERE);
    struct sigaction kept, after;
    assert_int_equal(sigaction(SIGBUS, NULL, &kept), 0);
    file_window_guard_begin();
    file_window_guard_end();
    assert_int_equal(sigaction(SIGBUS, NULL, &after), 0);
    assert_true(kept.sa_handler == after.sa_handler);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, make_file, remove_file)
    const struct CMUnitTest tests[] = {
        FRESH(windows_show_the_file),
        FRESH(what_cannot_be_mapped_is_refused),
        FRESH(a_file_cut_before_or_while_it_is_read_is_noticed),
        FRESH(a_cut_inside_a_page_is_noticed),
        FRESH(other_signals_go_where_they_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
