// Descriptors that a library opens without asking: children of this process shall not have them. A
// dead rank's connections would stay open in what it has started, and nobody would notice its
// death.
#ifndef COLROW_COMM_NEW_DESCRIPTORS_H
#define COLROW_COMM_NEW_DESCRIPTORS_H

#include <stdint.h>

enum { DESCRIPTORS_KNOWN_MAX = 4096 };
struct descriptors {
    uint64_t is_open[DESCRIPTORS_KNOWN_MAX / 64]; // higher ones are not looked at
};

void descriptors_read(struct descriptors *out);
// Marks those that are open now and were not before.
void descriptors_close_on_exec(const struct descriptors *before);

#endif
