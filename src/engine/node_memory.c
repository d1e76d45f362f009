#include "engine/node_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { WORD_MAGIC = 0x63724d6d };

struct memory_word {
    uint32_t magic, bytes;
    struct node_memory memory;
};

enum status node_memory_read(const struct colrow_options *options, struct node_memory *out)
{
    memset(out, 0, sizeof *out); // its padding travels, too
    out->front_end_bytes = device_resident_bytes();
    out->utilization = options->gpu_memory_utilization;
    out->kv_cache_memory = options->kv_cache_memory;
    TRY(device_memory_read(&out->device));
    if (out->device.promisable < out->device.available)
        out->device.available = out->device.promisable;
    return OK;
}

static bool is_good(const struct node_memory *memory)
{
    return memory->utilization > 0 && memory->utilization <= 1 && memory->kv_cache_memory >= 0 &&
           memory->device.total < (uint64_t)1 << 62 && memory->device.available < (uint64_t)1 << 62;
}

static enum status take_memory_word(const struct node_word *word, int node, struct node_memory *out)
{
    struct memory_word said;
    if (word->bytes == sizeof said)
        memcpy(&said, word->data, sizeof said);
    if (word->bytes != sizeof said || said.magic != WORD_MAGIC || said.bytes != sizeof said ||
        !is_good(&said.memory))
        return fail(ERR_GROUP,
                    "node %d runs another command than this node; give all nodes the "
                    "same one",
                    node);
    *out = said.memory;
    return OK;
}

enum status node_memory_exchange(struct node_agent *agent, const struct cluster_world *world,
                                 const struct node_memory *own, signal_check check, void *context,
                                 struct node_memory out[CLUSTER_NODES_MAX])
{
    const struct memory_word word = {WORD_MAGIC, sizeof word, *own};
    struct node_word *words;
    TRY(memory_new((size_t)world->n_nodes, sizeof *words, "the other nodes", &words));
    enum status status = node_agent_exchange(agent, &word, sizeof word, check, context, words);
    for (int i = 0; i < world->n_nodes && status == OK; i++)
        if (world->nodes[i].n_local > 0)
            status = take_memory_word(&words[i], i, &out[i]);
    free(words);
    return status;
}
