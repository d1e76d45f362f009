// Loads a tokenizer.json and encodes a text as often as its standard input says, and answers with
// seconds of processor time, which neighbours on the machine change little: the part of
// bench/peer_tokenizers.py that is ours. A line is "text PATH", "load PATH" or "encode"; the answer
// to the last two is "SECONDS", for "encode" also how many ids there are and a hash of them.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "text/tokenizer.h"

enum { LINE_BYTES = 4096, FILE_BYTES = 1 << 28 };

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

struct bench {
    struct tokenizer *tokenizer;
    struct bytes text;
};

static enum status load(struct bench *bench, const char *path)
{
    struct bytes file;
    bytes_init(&file);
    tokenizer_close(bench->tokenizer);
    bench->tokenizer = NULL;
    double begun = cpu_seconds();
    enum status status = file_read(path, FILE_BYTES, &file);
    if (status == OK)
        status = tokenizer_parse(path, file.data, file.length, &bench->tokenizer);
    bytes_fini(&file);
    if (status == OK)
        printf("%.9f\n", cpu_seconds() - begun);
    return status;
}

static enum status encode(const struct bench *bench)
{
    struct token_ids ids;
    uint64_t hash = 0xCBF29CE484222325u; // FNV-1a, over ids instead of bytes
    token_ids_init(&ids);
    double begun = cpu_seconds();
    enum status status =
        tokenizer_encode(bench->tokenizer, bench->text.data, bench->text.length, false, &ids);
    double seconds = cpu_seconds() - begun;
    for (size_t i = 0; i < ids.n; i++)
        hash = (hash ^ (uint32_t)ids.ids[i]) * 0x100000001B3u;
    if (status == OK)
        printf("%.9f %zu %" PRIu64 "\n", seconds, ids.n, hash);
    token_ids_fini(&ids);
    return status;
}

static enum status obey(struct bench *bench, const char *line)
{
    if (strncmp(line, "load ", 5) == 0)
        return load(bench, line + 5);
    if (strncmp(line, "text ", 5) == 0) {
        bytes_clear(&bench->text);
        return file_read(line + 5, FILE_BYTES, &bench->text);
    }
    if (strcmp(line, "encode") == 0 && bench->tokenizer && bench->text.data)
        return encode(bench);
    return fail(ERR_USAGE, "cannot do \"%s\"; expected text PATH, load PATH or encode", line);
}

int main(void)
{
    struct bench bench = {0};
    char line[LINE_BYTES];
    enum status status = OK;
    while (status == OK && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        status = obey(&bench, line);
        fflush(stdout);
    }
    if (status != OK)
        fprintf(stderr, "bench_tokenizer: %s\n", status_message());
    tokenizer_close(bench.tokenizer);
    bytes_fini(&bench.text);
    return status == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
