// What every fuzz target defines. It must return 0, whatever the bytes are, and abort only for a
// bug of ours.
#ifndef COLROW_TESTS_FUZZ_FUZZ_H
#define COLROW_TESTS_FUZZ_FUZZ_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
