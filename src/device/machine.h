// A machine as the cost model sees it: what one rank's device can do, what ranks of a node share,
// and the links inside of a node and between nodes. From a JSON file, in SI units:
//
//   {
//     "name": "...",
//     "device": {"memory_bytes": 80e9, "read_bytes_per_second": 3.35e12,
//                "bfloat16_flops_per_second": 989e12, "float32_flops_per_second": 67e12},
//     "node": {"read_bytes_per_second": ..., "flops_per_second": ...},
//     "link_in_node": {"latency_seconds": ..., "bytes_per_second": ...},
//     "link_between_nodes": {"latency_seconds": ..., "bytes_per_second": ...},
//     "overhead": {"step_seconds": ..., "sublayer_seconds": ..., "exchange_seconds": ...}
//   }
//
// A figure is a number, or {"value": ..., "source": "where it comes from"}.
#ifndef COLROW_DEVICE_MACHINE_H
#define COLROW_DEVICE_MACHINE_H

#include <stddef.h>

#include "base/status.h"

enum { MACHINE_BYTES_MAX = 1 << 20, MACHINE_NAME_MAX = 128, MACHINE_SOURCE_MAX = 320 };

struct figure {
    double value;                    // 0: absent, which stands for what the comment beside it says
    char source[MACHINE_SOURCE_MAX]; // "": none is given
};

// bytes_per_second is what one rank sends while it receives as much.
struct machine_link {
    struct figure latency_seconds;       // of a message, from one rank's memory to another's
    struct figure bytes_per_second;      // 0: no such link
    struct figure node_bytes_per_second; // of all ranks of a node together; 0: no limit
};

struct machine {
    char name[MACHINE_NAME_MAX];
    // Of one rank's device while it works alone.
    struct figure memory_bytes; // 0: not known
    struct figure read_bytes_per_second;
    struct figure bfloat16_flops_per_second; // of products; a fused multiply-add is two
    struct figure float16_flops_per_second;  // 0: as of bfloat16
    struct figure float32_flops_per_second;  // 0: not known
    // What the ranks of a node have together at most, where they share memory or cores; 0: no limit
    struct figure node_memory_bytes, node_read_bytes_per_second, node_flops_per_second;
    struct machine_link in_node, between_nodes;
    // Costs that no roofline has; 0: none. Of a step: planning, handing over, sampling; of a
    // sublayer: starting its kernels, meeting of threads; of an exchange: starting it.
    struct figure step_seconds, sublayer_seconds, exchange_seconds;
};

// Every key is checked: one that has no meaning here, a figure that is none, or is missing, is one
// sentence.
enum status machine_read(const char *path, struct machine *out) STATUS_MUST_USE;
enum status machine_parse(const char *name, const char *text, size_t length,
                          struct machine *out) STATUS_MUST_USE;

// The links alone, of a file that may hold more, as `colrow bench comm --json` writes it between
// nodes. A link that is not in it stays.
enum status machine_read_links(const char *path, struct machine *out) STATUS_MUST_USE;

// The figures in the order of the file, for printing: "device", "memory_bytes", the figure. NULL:
// no more.
const struct figure *machine_figure(const struct machine *machine, int number, const char **section,
                                    const char **key);

#endif
