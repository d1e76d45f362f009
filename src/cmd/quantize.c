// `colrow quantize`: a checkpoint with the integers that --quantization makes, in
// compressed-tensors' pack-quantized form.
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/progress.h"
#include "cmd/commands.h"
#include "cmd/model_argument.h"
#include "cmd/quantized_config.h"
#include "hf/safetensors.h"
#include "model/plan_build.h"
#include "model/weights_quantise.h"

enum { ROWS_AT_ONCE = 64, SMALL_FILE_BYTES_MAX = 64 << 20, PARTS_OF_ONE = 3, NAME_BYTES = 256 };

struct quantize {
    const char *quantization, *lm_head, *model, *out;
    int group_size;
    struct quantization how;
    struct model_config config;
    struct checkpoint *checkpoint;
    struct plan *plan;
    int8_t *bits; // of each of the checkpoint's tensors; 0: it stays
    // Of a tied model: the embedding, of which lm_head is made beside it; NULL
    const struct tensor_info *head;
    char head_name[NAME_BYTES];
    struct progress bar;
    double done;
};

// One tensor of a file that is written.
struct entry {
    const struct tensor_info *from;
    char name[NAME_BYTES]; // without "_packed" and so on
    int bits;
};

static enum status refuse_shape(const struct quantize *q, const struct tensor_info *t)
{
    return fail(ERR_UNSUPPORTED,
                "tensor \"%s\" has %lld columns, which groups of %d do not divide, as "
                "compressed-tensors has them; use another --quantization-group-size",
                t->name, (long long)tensor_columns(t), q->how.group);
}

// Which tensors become integers.
static enum status choose_tensors(struct quantize *q)
{
    TRY(memory_new((size_t)q->checkpoint->n_tensors, 1, "a list", &q->bits));
    for (int i = 0; i < q->plan->n_parameters; i++) {
        const struct plan_parameter *p = &q->plan->parameters[i];
        const int bits = plan_quantised_bits(q->plan, p);
        for (int k = 0; bits && k < p->n_tensors; k++) {
            const struct tensor_info *t = plan_find_tensor(q->plan, q->checkpoint, p, k);
            if (!t && p->slots[0] == SLOT_LM_HEAD) {
                const struct plan_parameter *embed =
                    plan_find_parameter(q->plan, 0, -1, SLOT_EMBED, false, NULL);
                t = q->head = plan_find_tensor(q->plan, q->checkpoint, embed, 0);
                snprintf(q->head_name, sizeof q->head_name, "%s", p->name);
            }
            if (!t)
                continue;
            if (tensor_columns(t) % q->how.group)
                return refuse_shape(q, t);
            if (t->n_dimensions != 2)
                return fail(ERR_UNSUPPORTED,
                            "tensor \"%s\" has the matrices of all experts, which "
                            "compressed-tensors has one by one; quantise it when it is loaded",
                            t->name);
            if (t != q->head)
                q->bits[t - q->checkpoint->tensors] = (int8_t)bits;
        }
    }
    return OK;
}

static int64_t packed_words(const struct entry *e)
{
    return (tensor_columns(e->from) * e->bits + 31) / 32;
}

// A row's codes, each more by 2^(bits - 1), in words from the low bits on.
static void pack_words(const int8_t *codes, int64_t n, int bits, uint32_t *words)
{
    const int in_word = 32 / bits;
    for (int64_t i = 0; i < n; i += in_word) {
        uint32_t word = 0;
        for (int k = 0; k < in_word && i + k < n; k++)
            word |= (uint32_t)(codes[i + k] + (1 << (bits - 1))) << (k * bits);
        words[i / in_word] = word;
    }
}

// Rows of numbers, their codes and words, and all scales of a tensor.
struct quantize_buffers {
    char *numbers;
    float *row;
    int8_t *codes;
    uint32_t *words;
    bf16 *scales;
};

static void buffers_free(struct quantize_buffers *b)
{
    free(b->numbers);
    free(b->row);
    free(b->codes);
    free(b->words);
    free(b->scales);
}

static enum status quantize_rows(const struct quantize *q, const struct entry *e, int64_t row,
                                 int64_t n_rows, struct quantize_buffers *b)
{
    const int64_t columns = tensor_columns(e->from), groups = columns / q->how.group;
    float scale;
    for (int64_t r = 0; r < n_rows; r++) {
        for (int64_t k = 0; k < columns; k++)
            b->row[k] = stored_number(b->numbers, e->from->type, (size_t)(r * columns + k));
        for (int64_t g = 0; g < groups; g++) {
            const int64_t at = g * q->how.group;
            if (!quantise_group(b->row + at, q->how.group, e->bits, &scale, b->codes + at))
                return fail(ERR_INPUT,
                            "tensor \"%s\" has a number that is not finite in row %lld: it cannot "
                            "be quantised",
                            e->from->name, (long long)(row + r));
            b->scales[(row + r) * groups + g] = bf16_of_float(scale);
        }
        pack_words(b->codes, columns, e->bits, b->words + r * packed_words(e));
    }
    return OK;
}

static enum status write_quantized(struct quantize *q, const struct entry *e,
                                   struct safetensors_writer *writer)
{
    const int64_t rows = tensor_rows(e->from), columns = tensor_columns(e->from);
    const int64_t shape[2] = {rows, columns}, groups = columns / q->how.group;
    struct quantize_buffers b = {0};
    enum status status = OK;
    TRY_DONE(memory_new((size_t)(ROWS_AT_ONCE * columns), 8, "numbers", &b.numbers));
    TRY_DONE(memory_new((size_t)columns, sizeof *b.row, "a row", &b.row));
    TRY_DONE(memory_new((size_t)columns, 1, "codes", &b.codes));
    TRY_DONE(memory_new((size_t)(ROWS_AT_ONCE * packed_words(e)), 4, "codes", &b.words));
    TRY_DONE(memory_new((size_t)(rows * groups), sizeof *b.scales, "scales", &b.scales));
    for (int64_t row = 0, n; row < rows; row += n) {
        n = rows - row < ROWS_AT_ONCE ? rows - row : ROWS_AT_ONCE;
        const struct tensor_slice slice = {e->from, row, row + n, 0, columns};
        TRY_DONE(checkpoint_read(q->checkpoint, &slice, b.numbers, NULL));
        TRY_DONE(quantize_rows(q, e, row, n, &b));
        TRY_DONE(safetensors_write(writer, b.words, (size_t)(n * packed_words(e)) * 4));
        q->done += (double)(n * columns) * (double)element_bytes(e->from->type);
        progress_set(&q->bar, q->done);
    }
    TRY_DONE(safetensors_write(writer, b.scales, (size_t)(rows * groups) * sizeof *b.scales));
    TRY_DONE(safetensors_write(writer, shape, sizeof shape));
done:
    buffers_free(&b);
    return status;
}

static enum status copy_tensor(struct quantize *q, const struct tensor_info *t,
                               struct safetensors_writer *writer)
{
    const int64_t rows = tensor_rows(t), columns = tensor_columns(t);
    void *numbers = NULL;
    enum status status = OK;
    TRY_DONE(
        memory_new((size_t)(ROWS_AT_ONCE * columns), element_bytes(t->type), "numbers", &numbers));
    for (int64_t row = 0, n; row < rows; row += n) {
        n = rows - row < ROWS_AT_ONCE ? rows - row : ROWS_AT_ONCE;
        const struct tensor_slice slice = {t, row, row + n, 0, columns};
        const size_t bytes = (size_t)(n * columns) * element_bytes(t->type);
        TRY_DONE(checkpoint_read(q->checkpoint, &slice, numbers, NULL));
        TRY_DONE(safetensors_write(writer, numbers, bytes));
        q->done += (double)bytes;
        progress_set(&q->bar, q->done);
    }
done:
    free(numbers);
    return status;
}

// What stands in a file: one entry a tensor, lm_head of a tied model behind the embedding.
static int list_entries(const struct quantize *q, int file, struct entry *entries)
{
    int n = 0;
    for (int i = 0; i < q->checkpoint->n_tensors; i++) {
        const struct tensor_info *t = &q->checkpoint->tensors[i];
        if (t->file != file)
            continue;
        entries[n] = (struct entry){.from = t, .bits = q->bits[i]};
        snprintf(entries[n++].name, NAME_BYTES, "%s", t->name);
        if (t == q->head) {
            entries[n] = (struct entry){.from = t, .bits = q->how.lm_head_bits};
            snprintf(entries[n++].name, NAME_BYTES, "%s", q->head_name);
        }
    }
    return n;
}

// The tensors of an entry: of one that is quantised three, named after it.
static int specs_of(const struct quantize *q, const struct entry *e, struct tensor_spec *specs,
                    char (*names)[NAME_BYTES + 16])
{
    const int64_t rows = tensor_rows(e->from), columns = tensor_columns(e->from);
    static const char *const ends[PARTS_OF_ONE] = {"_packed", "_scale", "_shape"};
    if (!e->bits) {
        specs[0] = (struct tensor_spec){
            .name = e->name, .type = e->from->type, .n_dimensions = e->from->n_dimensions};
        memcpy(specs[0].shape, e->from->shape, sizeof specs[0].shape);
        return 1;
    }
    for (int i = 0; i < PARTS_OF_ONE; i++)
        snprintf(names[i], sizeof names[i], "%s%s", e->name, ends[i]);
    specs[0] = (struct tensor_spec){names[0], ELEMENT_I32, 2, {rows, packed_words(e)}};
    specs[1] = (struct tensor_spec){names[1], ELEMENT_BF16, 2, {rows, columns / q->how.group}};
    specs[2] = (struct tensor_spec){names[2], ELEMENT_I64, 1, {2}};
    return PARTS_OF_ONE;
}

static const char *name_of_file(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// One file of the checkpoint becomes one of the same name; the index learns what is in it.
static enum status write_file(struct quantize *q, int file, json_t *map)
{
    static const char *const metadata[] = {"format", "pt"};
    const size_t most = (size_t)q->checkpoint->n_tensors + 1;
    struct entry *entries = NULL;
    struct tensor_spec *specs = NULL;
    struct safetensors_writer *writer = NULL;
    char(*names)[NAME_BYTES + 16] = NULL, path[FILE_PATH_MAX];
    const char *name = name_of_file(q->checkpoint->files[file]);
    enum status status = OK;
    int n_specs = 0;
    TRY_DONE(memory_new(most, sizeof *entries, "names", &entries));
    TRY_DONE(memory_new(most * PARTS_OF_ONE, sizeof *specs, "names", &specs));
    TRY_DONE(memory_new(most * PARTS_OF_ONE, sizeof *names, "names", &names));
    const int n = list_entries(q, file, entries);
    for (int i = 0; i < n; i++)
        n_specs += specs_of(q, &entries[i], specs + n_specs, names + n_specs);
    for (int i = 0; i < n_specs; i++)
        json_object_set_new(map, specs[i].name, json_string(name));
    TRY_DONE(file_join(q->out, name, path));
    TRY_DONE(safetensors_create(path, specs, n_specs, metadata, 1, &writer));
    for (int i = 0; i < n; i++)
        TRY_DONE(entries[i].bits ? write_quantized(q, &entries[i], writer)
                                 : copy_tensor(q, entries[i].from, writer));
    status = safetensors_finish(writer);
    writer = NULL;
done:
    safetensors_abandon(writer);
    free(names);
    free(specs);
    free(entries);
    return status;
}

static enum status write_files(struct quantize *q)
{
    json_t *map = json_object();
    enum status status = OK;
    progress_begin(&q->bar, "quantising", (double)q->checkpoint->bytes);
    for (int i = 0; i < q->checkpoint->n_files && status == OK; i++)
        status = write_file(q, i, map);
    progress_end(&q->bar);
    if (status == OK && q->checkpoint->n_files > 1)
        status = quantized_index_write(q->out, map);
    json_decref(map);
    return status;
}

// Modules with a matrix that stays, so that readers do not look for integers: all but embeddings,
// which are none of the class that is quantised.
static json_t *modules_left(const struct quantize *q)
{
    json_t *list = json_array();
    for (int i = 0; i < q->checkpoint->n_tensors; i++) {
        const struct tensor_info *t = &q->checkpoint->tensors[i];
        const size_t length = strlen(t->name);
        if (q->bits[i] || t->n_dimensions != 2 || length < 7 ||
            strcmp(t->name + length - 7, ".weight") != 0 || strstr(t->name, "embed"))
            continue;
        json_array_append_new(list, json_stringn(t->name, length - 7));
    }
    return list;
}

// Tokenizer, templates and the like: small files that are no weights.
static enum status copy_small_file(const struct quantize *q, const char *name)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    struct bytes text;
    struct stat info;
    bytes_init(&text);
    enum status status = OK;
    TRY_DONE(file_join(q->model, name, from));
    TRY_DONE(file_join(q->out, name, to));
    if (stat(from, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > SMALL_FILE_BYTES_MAX)
        goto done;
    TRY_DONE(file_read(from, SMALL_FILE_BYTES_MAX, &text));
    TRY_DONE(file_write(to, text.data ? text.data : "", text.length));
done:
    bytes_fini(&text);
    return status;
}

static bool is_small_file(const char *name)
{
    static const char *const ends[] = {".json", ".txt", ".model", ".jinja", ".md"};
    const char *dot = strrchr(name, '.');
    if (!dot || name[0] == '.' || strcmp(name, "config.json") == 0 ||
        strstr(name, ".safetensors.index"))
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (strcmp(dot, ends[i]) == 0)
            return true;
    return false;
}

static enum status copy_small_files(const struct quantize *q)
{
    DIR *folder = opendir(q->model);
    enum status status = folder ? OK : fail_errno("open folder", q->model);
    for (struct dirent *entry; status == OK && (entry = readdir(folder));)
        if (is_small_file(entry->d_name))
            status = copy_small_file(q, entry->d_name);
    if (folder)
        closedir(folder);
    return status;
}

static enum status prepare_quantize(struct quantize *q)
{
    struct plan_options options = {.n_ranks = 1, .compute = COMPUTE_BF16};
    TRY(quantization_parse(q->quantization, q->group_size, q->lm_head, &q->how));
    if (!q->how.bits)
        return fail(ERR_USAGE, "flag --quantization is none; expected int8 or int4");
    TRY(model_argument_find(&q->model, MODEL_WHOLE));
    TRY(model_config_read(q->model, &q->config));
    TRY(checkpoint_open(q->model, &q->checkpoint));
    TRY(plan_head_is_embed(&q->config, q->checkpoint, &options.head_is_embed));
    options.checkpoint = q->checkpoint;
    options.quantization = q->how;
    TRY(plan_compile(&q->config, &options, &q->plan));
    TRY(plan_check_checkpoint(q->plan, q->checkpoint));
    return choose_tensors(q);
}

static enum status run_quantize(struct quantize *q)
{
    TRY(prepare_quantize(q));
    if (mkdir(q->out, 0777) != 0 && errno != EEXIST)
        return fail_errno("create folder", q->out);
    TRY(write_files(q));
    TRY(copy_small_files(q));
    json_t *left = modules_left(q);
    enum status status = quantized_config_write(q->model, q->out, &q->how, q->head != NULL, left);
    json_decref(left);
    return status;
}

static int quantize_main(int argc, char **argv);
#define AT(field) offsetof(struct quantize, field)
static const struct flag quantize_flags[] = {
    {FLAG_TEXT, "--quantization", NULL, AT(quantization), 0, 0, "TYPE",
     "int8 or int4 (default int4)"},
    {FLAG_INT, "--quantization-group-size", NULL, AT(group_size), 32, QUANTIZATION_GROUP_MAX, "N",
     "columns that share a scale, a multiple of 32 (default 128)"},
    {FLAG_TEXT, "--quantization-lm-head", NULL, AT(lm_head), 0, 0, "TYPE",
     "auto, int8, int4 or none (default auto: int8)"},
};
const struct command command_quantize = {
    .name = "quantize",
    .brief = "write a checkpoint whose weights are integers",
    .positional = "MODEL OUT",
    .summary = "Writes the folder OUT: the model with what serve --quantization makes of its "
               "weights, in the form of\ncompressed-tensors (pack-quantized), which Transformers "
               "and vLLM read too. colrow itself\nwidens such a folder "
               "while it is loaded: for speed and memory serve MODEL with --quantization.",
    .examples = "  colrow quantize models/demo /tmp/demo-int4\n  colrow quantize models/demo "
                "/tmp/demo-int8 --quantization int8",
    .sections = {FLAG_SECTION(quantize_flags, 0)},
    .run = quantize_main,
};

static int quantize_main(int argc, char **argv)
{
    struct quantize q = {.quantization = "int4"};
    const char *positional[2] = {NULL, NULL};
    bool helped;
    int n_positional;
    number_mode_set();
    enum status status =
        flags_parse(&command_quantize, &q, argc, argv, positional, 2, &n_positional, &helped);
    if (status == OK && !helped && n_positional < 2)
        status = fail(ERR_USAGE, "two arguments are needed: colrow quantize MODEL OUT");
    if (status == OK && !helped) {
        q.model = positional[0];
        q.out = positional[1];
        status = run_quantize(&q);
    }
    free(q.bits);
    plan_free(q.plan);
    checkpoint_close(q.checkpoint);
    return status == OK ? 0 : flags_failed(status);
}
