// `colrow synth`: random weights in the shape of a real config, for benchmarks of speed and memory.
#include "cmd/commands.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/progress.h"
#include "cmd/flags.h"
#include "device/number.h"
#include "hf/safetensors.h"
#include "model/plan.h"

enum { PIECE_ELEMENTS = 1 << 18 };

// One of a parameter's tensors.
struct synth_tensor {
    const struct plan_parameter *parameter;
    int number;
    char name[sizeof((struct plan_parameter *)0)->name];
};

struct synth {
    uint64_t seed;
    int64_t shard_bytes;
    const char *config_path, *out;
    struct bytes config_text;
    struct model_config config;
    struct plan *plan;
    struct synth_tensor *stored; // [n_stored] without a tied lm_head, which has no tensor
    int n_stored;
    enum element_type type;
    struct progress bar;
    double written;
};

// splitmix64 (Steele, Lea, Flood 2014): a counter in, 64 well mixed bits out, so that every element
// has its own number.
static uint64_t mix_bits(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

// Four numbers, roughly normal with deviation 1: each the sum of two uniform 8-bit halves of 16
// bits, centred.
static void four_numbers(uint64_t bits, float *out)
{
    for (int i = 0; i < 4; i++, bits >>= 16) {
        float sum = (float)((bits & 0xff) + (bits >> 8 & 0xff)) - 255.0f;
        out[i] = sum * (1.0f / 104.5f);
    }
}

static void fill_random(void *data, enum element_type type, uint64_t key, int64_t first, int64_t n,
                        float centre, float scale)
{
    for (int64_t i = 0; i < n; i += 4) {
        float numbers[4];
        four_numbers(mix_bits(key + (uint64_t)(first + i)), numbers);
        for (int64_t k = i; k < i + 4 && k < n; k++) {
            float x = centre + scale * numbers[k - i];
            if (type == ELEMENT_BF16)
                ((bf16 *)data)[k] = bf16_of_float(x);
            else if (type == ELEMENT_F16)
                ((f16 *)data)[k] = f16_of_float(x);
            else
                ((float *)data)[k] = x;
        }
    }
}

static bool holds_all_experts(const struct plan_parameter *p)
{
    return p->n_experts && !strchr(p->name, '*');
}

// Of each of its tensors.
static int64_t stored_elements(const struct plan_parameter *p)
{
    return plan_tensor_rows(p) * p->columns * (holds_all_experts(p) ? p->n_experts : 1);
}

static enum status write_tensor(struct synth *s, struct safetensors_writer *writer,
                                const struct synth_tensor *tensor, void *piece)
{
    const struct plan_parameter *p = tensor->parameter;
    ptrdiff_t index = p - s->plan->parameters;
    int64_t n = stored_elements(p), first = n * tensor->number;
    bool vector = p->columns == 1, bias = strstr(p->name, ".bias") != NULL;
    float centre = vector && !bias ? 1.0f : 0.0f; // norms stand near one
    float scale = vector ? 0.1f : 1.0f / sqrtf((float)p->columns);
    uint64_t key = mix_bits(s->seed ^ mix_bits((uint64_t)index + 1));
    for (int64_t at = 0; at < n; at += PIECE_ELEMENTS) {
        int64_t count = n - at < PIECE_ELEMENTS ? n - at : PIECE_ELEMENTS;
        fill_random(piece, s->type, key, first + at, count, centre, scale);
        size_t bytes = (size_t)count * element_bytes(s->type);
        TRY(safetensors_write(writer, piece, bytes));
        s->written += (double)bytes;
        progress_set(&s->bar, s->written);
    }
    return OK;
}

static int64_t stored_bytes(const struct synth *s, const struct synth_tensor *tensor)
{
    const struct plan_parameter *p = tensor->parameter;
    return stored_elements(p) * (int64_t)element_bytes(s->type);
}

static enum status write_shard(struct synth *s, const char *name, int begin, int end)
{
    char path[FILE_PATH_MAX];
    struct tensor_spec *specs = NULL;
    struct safetensors_writer *writer = NULL;
    void *piece = NULL;
    static const char *const metadata[] = {"format", "pt"};
    enum status status = file_join(s->out, name, path);
    if (status == OK)
        status = memory_new((size_t)(end - begin), sizeof *specs, "tensor names", &specs);
    if (status == OK)
        status = memory_new(PIECE_ELEMENTS, sizeof(float), "weights", &piece);
    for (int i = begin; status == OK && i < end; i++) {
        const struct plan_parameter *p = s->stored[i].parameter;
        specs[i - begin] = (struct tensor_spec){.name = s->stored[i].name,
                                                .type = s->type,
                                                .n_dimensions = p->columns == 1 ? 1 : 2,
                                                .shape = {plan_tensor_rows(p), p->columns}};
        if (slot_is_taps(p->slots[0]) && p->columns > 1)
            specs[i - begin] = (struct tensor_spec){.name = s->stored[i].name,
                                                    .type = s->type,
                                                    .n_dimensions = 3,
                                                    .shape = {p->rows, 1, p->columns}};
        if (holds_all_experts(p)) {
            specs[i - begin].n_dimensions++;
            specs[i - begin].shape[0] = p->n_experts;
            specs[i - begin].shape[1] = p->transposed ? p->columns : p->rows;
            specs[i - begin].shape[2] = p->transposed ? p->rows : p->columns;
        }
    }
    if (status == OK)
        status = safetensors_create(path, specs, end - begin, metadata, 1, &writer);
    for (int i = begin; status == OK && i < end; i++)
        status = write_tensor(s, writer, &s->stored[i], piece);
    if (status == OK)
        status = safetensors_finish(writer);
    else
        safetensors_abandon(writer);
    free(piece);
    free(specs);
    return status;
}

static enum status write_index(const struct synth *s, const int *file_of, int n_files, double total)
{
    json_t *map = json_object();
    for (int i = 0; i < s->n_stored; i++) {
        char name[64];
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", file_of[i] + 1, n_files);
        json_object_set_new(map, s->stored[i].name, json_string(name));
    }
    json_t *root =
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS), path[FILE_PATH_MAX];
    json_decref(root);
    if (!text)
        return fail_memory(0, "the index");
    enum status status = file_join(s->out, "model.safetensors.index.json", path);
    if (status == OK)
        status = file_write(path, text, strlen(text));
    free(text);
    return status;
}

static enum status write_weights(struct synth *s)
{
    int n = s->n_stored, n_files = 1, *file_of;
    double total = 0;
    int64_t in_file = 0;
    TRY(memory_new((size_t)n, sizeof *file_of, "the index", &file_of));
    for (int i = 0; i < n; i++) {
        int64_t bytes = stored_bytes(s, &s->stored[i]);
        if (in_file > 0 && in_file + bytes > s->shard_bytes) {
            n_files++;
            in_file = 0;
        }
        file_of[i] = n_files - 1;
        in_file += bytes;
        total += (double)bytes;
    }
    progress_begin(&s->bar, "writing", total);
    enum status status = OK;
    for (int file = 0, i = 0; file < n_files && status == OK; file++) {
        int begin = i;
        char name[64] = "model.safetensors";
        while (i < n && file_of[i] == file)
            i++;
        if (n_files > 1)
            snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", file + 1, n_files);
        status = write_shard(s, name, begin, i);
    }
    if (status == OK && n_files > 1)
        status = write_index(s, file_of, n_files, total);
    progress_end(&s->bar);
    free(file_of);
    if (status == OK)
        fprintf(stderr, "── %s: %d tensors, %s in %d file%s\n", s->out, n, show_bytes(total),
                n_files, n_files == 1 ? "" : "s");
    return status;
}

static enum status list_stored(struct synth *s)
{
    size_t n = 0;
    for (int i = 0; i < s->plan->n_parameters; i++)
        n += (size_t)s->plan->parameters[i].n_tensors;
    TRY(memory_new(n, sizeof *s->stored, "a list", &s->stored));
    for (int i = 0; i < s->plan->n_parameters; i++) {
        const struct plan_parameter *p = &s->plan->parameters[i];
        for (int k = 0; p->stored != ELEMENT_NONE && k < p->n_tensors; k++) {
            struct synth_tensor *tensor = &s->stored[s->n_stored++];
            *tensor = (struct synth_tensor){.parameter = p, .number = k};
            plan_tensor_name(p, k, tensor->name, sizeof tensor->name);
        }
    }
    return OK;
}

// A folder as the second argument stands for its config.json.
static enum status read_synth_config(struct synth *s)
{
    char path[FILE_PATH_MAX];
    if (file_is_folder(s->config_path))
        TRY(file_join(s->config_path, "config.json", path));
    else
        snprintf(path, sizeof path, "%s", s->config_path);
    TRY(file_read(path, CONFIG_BYTES_MAX, &s->config_text));
    TRY(model_config_parse(path, s->config_text.data, s->config_text.length, &s->config));
    if (s->config.unusable_dtype[0])
        return fail(ERR_UNSUPPORTED, "%s: %s; expected bfloat16, float16 or float32", path,
                    s->config.unusable_dtype);
    s->type = s->config.dtype == ELEMENT_NONE ? ELEMENT_BF16 : s->config.dtype;
    return OK;
}

static enum status run_synth(struct synth *s)
{
    TRY(read_synth_config(s));
    if (mkdir(s->out, 0777) != 0 && errno != EEXIST)
        return fail_errno("create folder", s->out);
    const struct plan_options options = {.n_ranks = 1, .compute = COMPUTE_BF16};
    TRY(plan_compile(&s->config, &options, &s->plan));
    TRY(list_stored(s));
    char path[FILE_PATH_MAX];
    TRY(file_join(s->out, "config.json", path));
    TRY(file_write(path, s->config_text.data, s->config_text.length));
    return write_weights(s);
}

static int synth_main(int argc, char **argv);
#define AT(field) offsetof(struct synth, field)
static const struct flag synth_flags[] = {
    {FLAG_UINT64, "--seed", NULL, AT(seed), 0, 0, "N", "other numbers (default 0)"},
    {FLAG_BYTES, "--max-shard-size", NULL, AT(shard_bytes), 1, 0, "BYTES",
     "bytes of one file at most (default 5GB)"},
};
const struct command command_synth = {
    .name = "synth",
    .brief = "make a checkpoint with random weights, for benchmarks",
    .positional = "CONFIG.json OUT",
    .summary = "Writes the folder OUT: the config and random weights in its shape and dtype. "
               "Speed and memory are those\n"
               "of the real model; the text is noise.",
    .examples = "  colrow synth Llama-3.2-1B/config.json /tmp/llama-1b",
    .sections = {FLAG_SECTION(synth_flags, 0)},
    .run = synth_main,
};

static int synth_main(int argc, char **argv)
{
    struct synth s = {.shard_bytes = 5000000000};
    const char *positional[2] = {NULL, NULL};
    bool helped;
    int n_positional;
    bytes_init(&s.config_text);
    enum status status =
        flags_parse(&command_synth, &s, argc, argv, positional, 2, &n_positional, &helped);
    if (status == OK && !helped && n_positional < 2)
        status = fail(ERR_USAGE, "two arguments are needed: colrow synth CONFIG.json OUT");
    if (status == OK && !helped) {
        s.config_path = positional[0];
        s.out = positional[1];
        status = run_synth(&s);
    }
    free(s.stored);
    plan_free(s.plan);
    bytes_fini(&s.config_text);
    return status == OK ? 0 : flags_failed(status);
}
