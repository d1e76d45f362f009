#include "device/topology.h"

#include <hwloc.h>
#include <string.h>

#include "base/progress.h"
#include "device/memory_limits.h"

static int above(hwloc_topology_t hw, hwloc_obj_t core, hwloc_obj_type_t type)
{
    hwloc_obj_t object = hwloc_get_ancestor_obj_by_type(hw, type, core);
    return object ? (int)object->logical_index : 0;
}

// NUMA nodes are not ancestors in hwloc 2 but memory children: found by their nodeset.
static int numa_of(hwloc_obj_t core)
{
    int first = core->nodeset ? hwloc_bitmap_first(core->nodeset) : 0;
    return first < 0 ? 0 : first;
}

// The last-level cache above a core: L3, else L2.
static hwloc_obj_t last_cache(hwloc_topology_t hw, hwloc_obj_t core)
{
    hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(hw, HWLOC_OBJ_L3CACHE, core);
    return cache ? cache : hwloc_get_ancestor_obj_by_type(hw, HWLOC_OBJ_L2CACHE, core);
}

static void add_core(hwloc_topology_t hw, hwloc_obj_t core, hwloc_const_cpuset_t allowed,
                     struct topology *out)
{
    hwloc_bitmap_t cpus = hwloc_bitmap_dup(core->cpuset);
    hwloc_bitmap_and(cpus, cpus, allowed);
    int cpu = hwloc_bitmap_first(cpus);
    hwloc_bitmap_free(cpus);
    if (cpu < 0 || out->n_cores == TOPOLOGY_CORES_MAX)
        return;
    hwloc_obj_t cache = last_cache(hw, core);
    struct topology_core *c = &out->cores[out->n_cores++];
    *c = (struct topology_core){.cpu = cpu,
                                .package = above(hw, core, HWLOC_OBJ_PACKAGE),
                                .numa = numa_of(core),
                                .cache = cache ? (int)cache->logical_index : 0};
    if (cache)
        out->cache_bytes = cache->attr->cache.size;
    out->n_packages = c->package >= out->n_packages ? c->package + 1 : out->n_packages;
    out->n_numa = c->numa >= out->n_numa ? c->numa + 1 : out->n_numa;
    out->n_caches = c->cache >= out->n_caches ? c->cache + 1 : out->n_caches;
}

enum status topology_read(struct topology *out)
{
    memset(out, 0, sizeof *out);
    hwloc_topology_t hw;
    if (hwloc_topology_init(&hw) != 0)
        return fail_memory(0, "the machine's topology");
    if (hwloc_topology_load(hw) != 0) {
        hwloc_topology_destroy(hw);
        return fail(ERR_IO, "the machine's topology cannot be read (hwloc)");
    }
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    if (hwloc_get_cpubind(hw, allowed, HWLOC_CPUBIND_PROCESS) != 0)
        hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(hw));
    int n = hwloc_get_nbobjs_by_type(hw, HWLOC_OBJ_CORE);
    for (int i = 0; i < n; i++)
        add_core(hw, hwloc_get_obj_by_type(hw, HWLOC_OBJ_CORE, (unsigned)i), allowed, out);
    hwloc_bitmap_free(allowed);
    hwloc_topology_destroy(hw);
    if (out->n_cores == 0) // some containers hide the cores
        *out = (struct topology){.n_cores = 1, .n_packages = 1, .n_numa = 1, .n_caches = 1};
    return OK;
}

int topology_share(const struct topology *t, int rank, int n_ranks, int threads, int *cpus)
{
    int begin = (int)((long long)t->n_cores * rank / n_ranks);
    int end = (int)((long long)t->n_cores * (rank + 1) / n_ranks);
    if (n_ranks > t->n_cores) { // ranks share cores
        begin = rank % t->n_cores;
        end = begin + 1;
    }
    int n = threads > 0 ? threads : end - begin;
    n = n < TOPOLOGY_CORES_MAX ? n : TOPOLOGY_CORES_MAX;
    for (int i = 0; i < n;
         i++) // more threads than cores: they go round the rank's own, then all others
        cpus[i] = t->cores[i < end - begin ? begin + i : (begin + i) % t->n_cores].cpu;
    return n;
}

void topology_bind_memory(const int *cpus, int n_cpus)
{
    hwloc_topology_t hw;
    struct memory_nodes nodes;
    if (memory_policy_read(&nodes) || hwloc_topology_init(&hw) != 0)
        return; // numactl has said where
    if (hwloc_topology_load(hw) == 0 && hwloc_get_nbobjs_by_type(hw, HWLOC_OBJ_NUMANODE) > 1) {
        hwloc_bitmap_t set = hwloc_bitmap_alloc();
        for (int i = 0; i < n_cpus; i++)
            hwloc_bitmap_set(set, (unsigned)cpus[i]);
        // Without permission it stays as it is: first touch puts pages near the thread anyway.
        (void)hwloc_set_membind(hw, set, HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_PROCESS);
        hwloc_bitmap_free(set);
    }
    hwloc_topology_destroy(hw);
}

// Which ranks use a core, as "0" or "0,2,4".
static void ranks_on(const struct topology *t, int cpu, int n_ranks, int threads, char *out,
                     size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int r = 0; r < n_ranks && used + 8 < bytes; r++) {
        int cpus[TOPOLOGY_CORES_MAX], n = topology_share(t, r, n_ranks, threads, cpus);
        for (int i = 0; i < n; i++)
            if (cpus[i] == cpu) {
                used += (size_t)snprintf(out + used, bytes - used, "%s%d", used ? "," : "", r);
                break;
            }
    }
}

void topology_print(const struct topology *t, int n_ranks, int threads, FILE *file)
{
    int package = -1, numa = -1, cache = -1;
    for (int i = 0; i < t->n_cores; i++) {
        const struct topology_core *c = &t->cores[i];
        if (c->package != package)
            fprintf(file, "socket %d\n", c->package);
        if (c->package != package || c->numa != numa)
            fprintf(file, "└─ memory node %d\n", c->numa);
        if (c->package != package || c->numa != numa || c->cache != cache)
            fprintf(file, "   └─ cache %d, %s\n", c->cache, show_bytes((double)t->cache_bytes));
        package = c->package;
        numa = c->numa;
        cache = c->cache;
        char ranks[128];
        ranks_on(t, c->cpu, n_ranks, threads, ranks, sizeof ranks);
        fprintf(file, "      %s core %3d  %s%s\n",
                i + 1 < t->n_cores && t->cores[i + 1].cache == cache ? "├─" : "└─", c->cpu,
                *ranks ? "rank " : "-", ranks);
    }
}
