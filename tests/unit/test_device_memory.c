#include "testing.h"

#include <linux/mempolicy.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "device/cpu_limits.h"
#include "device/device.h"
#include "device/memory_limits.h"

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    const size_t sizes[] = {0,       1, 63, 64, 65, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1,
                            33 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *memory;
        assert_int_equal(device_memory_new(sizes[i], "a test", &memory), OK);
        uintptr_t unit = sizes[i] >= 2 << 20 ? 2 << 20 : 64;
        assert_int_equal((uintptr_t)memory % unit, 0);
        const unsigned char *bytes = memory;
        for (size_t k = 0; k < sizes[i]; k++)
            if (bytes[k])
                assert_int_equal(bytes[k], 0);
        if (sizes[i])
            memset(memory, 255, sizes[i]);
        device_memory_free(memory, sizes[i]);
    }
    device_memory_free(NULL, 0);
    device_memory_free(NULL, 1 << 30);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    void *memory = &memory;
    assert_int_equal(device_memory_new(SIZE_MAX, "the moon", &memory), ERR_MEMORY);
    assert_null(memory);
    assert_non_null(strstr(status_message(), "the moon"));
    assert_int_equal(device_memory_new((size_t)1 << 60, "the moon", &memory), ERR_MEMORY);
}

static void freed_memory_goes_back(void **state)
{
    (void)state;
    uint64_t before = device_resident_bytes();
    void *memory;
    const size_t bytes = 64 << 20;
    assert_int_equal(device_memory_new(bytes, "a test", &memory), OK);
    memset(memory, 1, bytes);
    assert_true(device_resident_bytes() >= before + bytes / 2);
    device_memory_free(memory, bytes);
    assert_true(device_resident_bytes() < before + bytes / 2);
    assert_true(device_resident_peak_bytes(0) >= before + bytes / 2);
    assert_true(device_resident_peak_bytes((int)getpid()) >= before + bytes / 2);
    assert_int_equal(device_resident_peak_bytes(-1), 0);
}

static void the_machine_answers(void **state)
{
    (void)state;
    struct device_memory memory = {0};
    assert_int_equal(device_memory_read(&memory), OK);
    assert_true(memory.available > 1 << 20 && memory.total < (uint64_t)1 << 50);
    assert_true(memory.available < memory.total);
    assert_in_range(device_cpu_count(), 1, 1 << 20);
}

static char root[64];

static void write_text(const char *path, const char *text)
{
    char full[FILE_PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    assert_int_equal(file_write(full, text, strlen(text)), OK);
}

static void expect(uint64_t expected)
{
    struct device_memory memory = {0};
    assert_int_equal(memory_limits_read(root, NULL, &memory), OK);
    assert_true(memory.available == expected);
}

static void expect_total(uint64_t expected)
{
    struct device_memory memory = {0};
    assert_int_equal(memory_limits_read(root, NULL, &memory), OK);
    assert_true(memory.total == expected);
}

static void remove_root(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

static void new_root(void)
{
    strcpy(root, "/tmp/colrow-limits-XXXXXX");
    assert_non_null(mkdtemp(root));
    write_text("proc/meminfo", "MemTotal:  2000 kB\nMemAvailable:     1000 kB\n");
}

static void meminfo_alone(void **state)
{
    (void)state;
    new_root();
    expect(1000 * 1024);
    expect_total(2000 * 1024);
    struct device_memory memory;
    write_text("proc/meminfo", "MemTotal: 2000 kB\n");
    assert_int_equal(memory_limits_read(root, NULL, &memory), ERR_IO);
    assert_non_null(strstr(status_message(), "MemAvailable"));
    write_text("proc/meminfo", "MemAvailable: 2000 kB\n");
    assert_int_equal(memory_limits_read(root, NULL, &memory), ERR_IO);
    assert_non_null(strstr(status_message(), "MemTotal"));
    remove_root();
}

static void what_is_promised_counts_where_it_must_fit(void **state)
{
    (void)state;
    struct device_memory memory;
    new_root();
    write_text("proc/meminfo", "MemTotal:  2000 kB\nMemAvailable:     1000 kB\n"
                               "CommitLimit:  1500 kB\nCommitted_AS:   700 kB\n");
    for (int mode = 0; mode <= 2; mode++) {
        char text[16];
        snprintf(text, sizeof text, "%d\n", mode);
        write_text("proc/sys/vm/overcommit_memory", text);
        assert_int_equal(memory_limits_read(root, NULL, &memory), OK);
        assert_true(memory.promisable == (mode == 2 ? 800 * 1024 : UINT64_MAX));
    }
    write_text("proc/meminfo", "MemTotal:  2000 kB\nMemAvailable:     1000 kB\n"
                               "CommitLimit:  1500 kB\nCommitted_AS:   1700 kB\n");
    assert_int_equal(memory_limits_read(root, NULL, &memory), OK);
    assert_true(memory.promisable == 0 && memory.available == 1000 * 1024);
    remove_root();
}

static void the_nodes_of_the_cpuset_count(void **state)
{
    (void)state;
    new_root();
    write_text("sys/devices/system/node/node0/meminfo",
               "Node 0 MemTotal:       900 kB\nNode 0 MemFree:        100 kB\n"
               "Node 0 Active(file):     20 kB\nNode 0 Inactive(file):   10 kB\n"
               "Node 0 SReclaimable:     5 kB\n");
    write_text("sys/devices/system/node/node2/meminfo",
               "Node 2 MemTotal:       1100 kB\nNode 2 MemFree:        900 kB\n");
    write_text("proc/self/status", "Name:\tx\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
    expect_total(900 * 1024);
    expect(135 * 1024);
    write_text("proc/self/status", "Mems_allowed_list:\t2\n");
    expect_total(1100 * 1024);
    expect(900 * 1024);
    write_text("proc/self/status", "Mems_allowed_list:\t0-3\n"); // 1 and 3 are not there
    expect_total(2000 * 1024);
    expect(1000 * 1024);
    write_text("proc/self/status", "Mems_allowed_list:\t5,9999999999\n"); // nor are these
    expect_total(2000 * 1024);
    write_text("proc/self/status", "Mems_allowed_list:\t\n");
    expect_total(2000 * 1024);
    remove_root();
}

static void only_nodes_of_the_policy_count(void **state)
{
    (void)state;
    struct device_memory memory;
    new_root();
    write_text("sys/devices/system/node/node0/meminfo",
               "Node 0 MemTotal:       900 kB\nNode 0 MemFree:        100 kB\n");
    write_text("sys/devices/system/node/node70/meminfo",
               "Node 70 MemTotal:       700 kB\nNode 70 MemFree:        300 kB\n");
    write_text("proc/self/status", "Mems_allowed_list:\t0-127\n");
    expect(400 * 1024);
    const struct memory_nodes first = {.bits = {1}}, last = {.bits = {2, 1 << 6}};
    assert_int_equal(memory_limits_read(root, &first, &memory), OK);
    assert_int_equal(memory.total, 900 * 1024);
    assert_int_equal(memory.available, 100 * 1024);
    assert_int_equal(memory_limits_read(root, &last, &memory), OK); // node 1 is not there
    assert_int_equal(memory.total, 700 * 1024);
    assert_int_equal(memory.available, 300 * 1024);
    remove_root();
}

// As `numactl --membind=0 colrow` starts it, in a process that is thrown away.
static void the_policy_of_the_task_is_read(void **state)
{
    (void)state;
    enum { FORBIDDEN = 2 };
    int how;
    pid_t child = fork();
    if (child == 0) {
        struct memory_nodes nodes = {{0}};
        unsigned long mask[MEMORY_NODES_MAX / 64] = {1};
        bool before = memory_policy_read(&nodes);
        if (syscall(SYS_set_mempolicy, MPOL_BIND, mask, (unsigned long)MEMORY_NODES_MAX))
            _exit(FORBIDDEN);
        bool bound = memory_policy_read(&nodes) && nodes.bits[0] == 1 && nodes.bits[1] == 0;
        bool prefers = !syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask, MEMORY_NODES_MAX - 1UL) &&
                       memory_policy_read(&nodes);
        _exit(!before && bound && !prefers ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    if (WEXITSTATUS(how) == FORBIDDEN)
        skip(); // a container without get_mempolicy()
    assert_int_equal(WEXITSTATUS(how), 0);
}

static void version_2_limits_count_with_their_parents(void **state)
{
    (void)state;
    new_root();
    write_text("proc/self/cgroup", "0::/slice/unit\n");
    write_text("sys/fs/cgroup/slice/unit/memory.max", "max\n");
    write_text("sys/fs/cgroup/slice/unit/memory.current", "5000\n");
    expect(1000 * 1024);
    write_text("sys/fs/cgroup/slice/memory.max", "600000\n");
    write_text("sys/fs/cgroup/slice/memory.current", "200000\n");
    expect(400000);
    expect_total(600000);
    write_text("sys/fs/cgroup/slice/memory.stat",
               "anon 3\ninactive_file 20000\nactive_file 29000\nslab_reclaimable 1000\n");
    expect(450000); // file pages that were read twice are given up as well
    write_text("sys/fs/cgroup/slice/memory.high", "500000\n");
    expect(350000);
    expect_total(500000);
    write_text("sys/fs/cgroup/slice/memory.high", "max\n");
    expect(450000);
    write_text("sys/fs/cgroup/slice/unit/memory.max", "4000\n"); // below what is used
    expect(0);
    remove_root();
}

static void version_1_limits_count(void **state)
{
    (void)state;
    new_root();
    write_text("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/box/inner\n0::/\n");
    write_text("sys/fs/cgroup/memory/box/inner/memory.limit_in_bytes", "9223372036854771712\n");
    write_text("sys/fs/cgroup/memory/box/inner/memory.usage_in_bytes", "70000\n");
    expect(1000 * 1024);
    write_text("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "300000\n");
    write_text("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "90000\n");
    write_text(
        "sys/fs/cgroup/memory/box/memory.stat",
        "inactive_file 1\nactive_file 2\ntotal_inactive_file 15000\ntotal_active_file 25000\n");
    expect(250000);
    remove_root();
}

static void a_container_sees_its_limit_at_the_mount(void **state)
{
    (void)state;
    new_root();
    write_text("proc/self/cgroup", "4:memory:/docker/0123\n");
    write_text("sys/fs/cgroup/memory/memory.limit_in_bytes", "123456\n");
    write_text("sys/fs/cgroup/memory/memory.usage_in_bytes", "456\n");
    expect(123000);
    remove_root();
}

static void quota_is(double expected)
{
    assert_true(cpu_quota_read(root) == expected);
}

static void version_2_quotas_count_with_their_parents(void **state)
{
    (void)state;
    new_root();
    quota_is(0);
    write_text("proc/self/cgroup", "0::/slice/unit\n");
    write_text("sys/fs/cgroup/slice/unit/cpu.max", "max 100000\n");
    quota_is(0);
    write_text("sys/fs/cgroup/slice/cpu.max", "250000 100000\n");
    quota_is(2.5);
    write_text("sys/fs/cgroup/slice/unit/cpu.max", "150000 50000\n"); // its parent allows less
    quota_is(2.5);
    write_text("sys/fs/cgroup/slice/unit/cpu.max", "50000\n");
    quota_is(0.5);
    write_text("sys/fs/cgroup/cpu.max", "0 0\n"); // means nothing
    quota_is(0.5);
    remove_root();
}

static void version_1_quotas_count(void **state)
{
    (void)state;
    new_root();
    write_text("proc/self/cgroup", "4:cpu,cpuacct:/box/inner\n0::/\n");
    write_text("sys/fs/cgroup/cpu,cpuacct/box/inner/cpu.cfs_quota_us", "-1\n");
    write_text("sys/fs/cgroup/cpu,cpuacct/box/inner/cpu.cfs_period_us", "100000\n");
    quota_is(0);
    write_text("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "300000\n");
    write_text("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "200000\n");
    quota_is(1.5);
    write_text("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n"); // a container's, at the mount
    quota_is(1);
    remove_root();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(freed_memory_goes_back),
        cmocka_unit_test(the_machine_answers),
        cmocka_unit_test(meminfo_alone),
        cmocka_unit_test(what_is_promised_counts_where_it_must_fit),
        cmocka_unit_test(the_nodes_of_the_cpuset_count),
        cmocka_unit_test(only_nodes_of_the_policy_count),
        cmocka_unit_test(the_policy_of_the_task_is_read),
        cmocka_unit_test(version_2_limits_count_with_their_parents),
        cmocka_unit_test(version_1_limits_count),
        cmocka_unit_test(version_2_quotas_count_with_their_parents),
        cmocka_unit_test(version_1_quotas_count),
        cmocka_unit_test(a_container_sees_its_limit_at_the_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
