// The input is a safetensors file, and, a second time, the JSON of a header with some data behind
// it.
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hf/safetensors.h"

static void check(const struct safetensors_header *header, uint64_t file_bytes)
{
    uint64_t sum = 0;
    for (int i = 0; i < header->n_tensors; i++) {
        const struct tensor_info *tensor = &header->tensors[i];
        assert(i == 0 || strcmp(header->tensors[i - 1].name, tensor->name) < 0);
        assert(tensor->offset <= file_bytes && tensor->bytes <= file_bytes - tensor->offset);
        assert(safetensors_find(header, tensor->name) == tensor);
        uint64_t bits = element_bits(tensor->type);
        for (int d = 0; d < tensor->n_dimensions; d++)
            bits *= (uint64_t)tensor->shape[d];
        assert(bits % 8 == 0 && bits / 8 == tensor->bytes);
        sum += tensor->bytes;
    }
    assert(sum <= file_bytes);
}

static void read_file(const uint8_t *data, size_t size)
{
    struct safetensors_header header;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    if (safetensors_read_header(fd, "fuzz", size, &header) == OK) {
        check(&header, size);
        safetensors_close(&header);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t data_bytes[] = {0, 4, 64};
    read_file(data, size);
    for (int i = 0; i < 3; i++) {
        struct safetensors_header header;
        uint64_t file_bytes = 8 + size + data_bytes[i];
        if (safetensors_parse("fuzz", (const char *)data, size, file_bytes, &header) == OK) {
            check(&header, file_bytes);
            safetensors_close(&header);
        }
    }
    return 0;
}
