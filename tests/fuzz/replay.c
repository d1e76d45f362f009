// Feeds a corpus to a fuzz target without libFuzzer: each file of the folder, as it is, cut short
// at up to 64 places, and with up to 64 bytes changed one at a time. The same inputs on every run.
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"

enum { INPUT_BYTES_MAX = 64 << 20, VARIANTS = 64 };

static long n_inputs;
static double slowest;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); // neighbours must not count
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// The target gets a copy of exactly the right size, so that a sanitizer sees one byte too far.
static void feed(const void *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    assert(copy);
    if (size)
        memcpy(copy, data, size);
    double begun = seconds();
    LLVMFuzzerTestOneInput(copy, size);
    double took = seconds() - begun;
    slowest = took > slowest ? took : slowest;
    free(copy);
    n_inputs++;
}

static void feed_variants(char *data, size_t size)
{
    size_t step = size / VARIANTS + 1;
    feed(data, size);
    for (size_t at = 0; at < size; at += step)
        feed(data, at);
    for (size_t at = 0, i = 0; at < size; at += step, i++) {
        static const char bytes[] = "0\"{[}],:-9\\\377\200";
        char kept = data[at];
        data[at] = bytes[i % (sizeof bytes)]; // the NUL, too
        feed(data, size);
        data[at] = kept;
    }
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int n = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    if (n < 0) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 2;
    }
    int n_files = 0, errors = 0;
    feed("", 0);
    for (int i = 0; i < n; i++) {
        char path[FILE_PATH_MAX];
        struct bytes file;
        bytes_init(&file);
        if (entries[i]->d_name[0] != '.') {
            if (file_join(argv[1], entries[i]->d_name, path) == OK &&
                file_read(path, INPUT_BYTES_MAX, &file) == OK) {
                feed_variants(file.data, file.length);
                n_files++;
            } else {
                fprintf(stderr, "%s\n", status_message());
                errors++;
            }
        }
        bytes_fini(&file);
        free(entries[i]);
    }
    free(entries);
    printf("%d files, %ld inputs, slowest %.3f s\n", n_files, n_inputs, slowest);
    return errors > 0 || n_files == 0 || slowest > 5;
}
