#include "hf/checkpoint.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "hf/config_reader.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"
#define CONSOLIDATED_NAME "consolidated.safetensors"
#define NAMED_KEY "transformers_weights"
enum { INDEX_BYTES_MAX = 32 << 20 }; // 350,000 tensors; jansson parses so much within a second

// One entry of the index's weight_map.
struct mapping {
    const char *tensor, *file; // borrowed from the JSON
};

// The suffix of a file of weights in another format; NULL for other files.
static const char *foreign_suffix(const char *name)
{
    static const char *const suffixes[] = {".bin",  ".pt",      ".pth", ".ckpt",
                                           ".gguf", ".msgpack", ".h5"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (file_has_ending(name, suffixes[i]))
            return suffixes[i];
    return NULL;
}

static enum status refuse_foreign(const char *path)
{
    return fail(ERR_UNSUPPORTED,
                "%s: found a %s file; expected safetensors (" SINGLE_NAME " or " INDEX_NAME
                "): convert it with Transformers' save_pretrained()",
                path, foreign_suffix(path));
}

// A folder without the files we read: says what it has instead. Of several, the first by name.
static enum status explain_absence(const char *folder)
{
    char foreign[256] = "", other[256] = "", path[FILE_PATH_MAX];
    DIR *dir = opendir(folder);
    if (!dir)
        return fail_errno("open", folder);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        const char *name = entry->d_name;
        char *place = foreign_suffix(name)                    ? foreign
                      : file_has_ending(name, ".safetensors") ? other
                                                              : NULL;
        if (place && (!*place || strcmp(name, place) < 0))
            snprintf(place, sizeof foreign, "%s", name);
    }
    closedir(dir);
    if (strcmp(other, SINGLE_NAME) == 0) // listed, yet it does not exist
        return fail(ERR_INPUT, "%s/%s: expected a file, found a link to nothing: download it again",
                    folder, other);
    if (*other)
        return fail(ERR_INPUT,
                    "%s: has %s but neither " SINGLE_NAME " nor " INDEX_NAME
                    "; expected one of these",
                    folder, other);
    if (!*foreign)
        return fail(ERR_INPUT, "%s: has no weights; expected " SINGLE_NAME " or " INDEX_NAME,
                    folder);
    TRY(file_join(folder, foreign, path));
    return refuse_foreign(path);
}

enum status checkpoint_folder_check(const char *folder)
{
    if (file_is_folder(folder))
        return OK;
    if (!file_exists(folder))
        return fail(ERR_INPUT,
                    "%s: does not exist; expected a folder with config.json and safetensors files",
                    folder);
    if (foreign_suffix(folder))
        return refuse_foreign(folder);
    return fail(ERR_INPUT,
                "%s: is a file; expected the folder that holds config.json and safetensors files",
                folder);
}

// Reserves the arrays of `n_files` files; none is open yet.
static enum status reserve_files(struct checkpoint *out, int n_files)
{
    assert(n_files > 0 && n_files <= CHECKPOINT_FILES_MAX && !out->files);
    size_t n = (size_t)n_files;
    TRY(arena_take(&out->arena, n, sizeof *out->files, &out->files));
    TRY(arena_take(&out->arena, n, sizeof *out->headers, &out->headers));
    TRY(arena_take(&out->arena, n, sizeof *out->remote_files, &out->remote_files));
    return arena_take(&out->arena, n, sizeof *out->fds, &out->fds);
}

static enum status add_file(struct checkpoint *out, const char *name)
{
    char path[FILE_PATH_MAX], *copy;
    uint64_t bytes;
    int i = out->n_files;
    assert(out->files && i < CHECKPOINT_FILES_MAX);
    TRY(file_join(out->folder, name, path));
    TRY(arena_text(&out->arena, path, strlen(path), &copy));
    out->files[i] = copy;
    TRY(file_open(path, &out->fds[i], &bytes));
    arena_init(&out->headers[i].arena);
    out->n_files = i + 1; // from here on checkpoint_close() closes it
    if (out->remote) {
        out->remote_files[i] = hub_ranges_find(out->remote, name);
        if (!out->remote_files[i])
            return fail(ERR_INPUT, "%s: holds a header, but %s has no such file", path,
                        out->remote->id);
        bytes = out->remote_files[i]->bytes;
    }
    return safetensors_read_header(out->fds[i], path, bytes, &out->headers[i]);
}

static int tensors_by_name(const void *a, const void *b)
{
    const struct tensor_info *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static int by_name_and_file(const void *a, const void *b)
{
    const struct tensor_info *left = a, *right = b;
    int order = tensors_by_name(a, b);
    return order ? order : left->file - right->file;
}

// Of tensors that several files hold, the last file's counts: Transformers reads them in this
// order.
static void drop_repeated_tensors(struct checkpoint *out)
{
    int n = out->n_tensors;
    out->n_tensors = 0;
    for (int i = 0; i < n; i++) {
        if (i + 1 < n && strcmp(out->tensors[i].name, out->tensors[i + 1].name) == 0) {
            out->repeated = out->repeated ? out->repeated : out->tensors[i].name;
            continue;
        }
        assert(out->n_tensors <= i);
        out->bytes += out->tensors[i].bytes;
        out->tensors[out->n_tensors++] = out->tensors[i];
    }
}

// All files' tensors as one list, sorted by name.
static enum status merge_headers(struct checkpoint *out)
{
    size_t n = 0;
    for (int i = 0; i < out->n_files; i++)
        n += (size_t)out->headers[i].n_tensors;
    if (n > CHECKPOINT_TENSORS_MAX)
        return fail(ERR_INPUT, "%s: the files hold %zu tensors; expected at most %d", out->folder,
                    n, CHECKPOINT_TENSORS_MAX);
    TRY(arena_take(&out->arena, n, sizeof *out->tensors, &out->tensors));
    for (int i = 0; i < out->n_files; i++)
        for (int j = 0; j < out->headers[i].n_tensors; j++) {
            struct tensor_info *tensor = &out->tensors[out->n_tensors++];
            *tensor = out->headers[i].tensors[j];
            tensor->file = i;
        }
    qsort(out->tensors, n, sizeof *out->tensors, by_name_and_file);
    drop_repeated_tensors(out);
    return OK;
}

// A file below the model's folder: "part.safetensors", "shards/part.safetensors".
static bool is_inside(const char *name, size_t length)
{
    if (length == 0 || strlen(name) != length || *name == '/')
        return false;
    for (const char *part = name; part; part = strchr(part, '/'), part = part ? part + 1 : NULL)
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return false;
    return true;
}

static enum status check_file_name(const char *index, const char *tensor, const json_t *value)
{
    const char *name = json_string_value(value);
    if (!name || !is_inside(name, json_string_length(value)))
        return fail(
            ERR_INPUT,
            "%s: weight_map: key \"%.200s\" is %s; expected the name of a file in the same folder",
            index, tensor, json_show(value));
    if (!file_has_ending(name, ".safetensors"))
        return fail(ERR_UNSUPPORTED,
                    "%s: weight_map: key \"%.200s\" is %s; expected a .safetensors file", index,
                    tensor, json_show(value));
    return OK;
}

static int by_file(const void *a, const void *b)
{
    const struct mapping *left = a, *right = b;
    return strcmp(left->file, right->file);
}

static enum status read_weight_map(const char *index, json_t *map, struct mapping *mappings)
{
    const char *tensor;
    json_t *file;
    size_t n = 0;
    json_object_foreach(map, tensor, file)
    {
        TRY(check_file_name(index, tensor, file));
        mappings[n++] = (struct mapping){tensor, json_string_value(file)};
    }
    qsort(mappings, n, sizeof *mappings, by_file);
    return OK;
}

// Opens each file that the index names, once. Which tensors they hold, they say themselves: an
// index may name others that nobody needs, or place them wrongly.
static enum status open_mapped(struct checkpoint *out, const char *index,
                               const struct mapping *mappings, size_t n)
{
    int n_files = 0;
    for (size_t i = 0; i < n; i++)
        n_files += i == 0 || strcmp(mappings[i - 1].file, mappings[i].file) != 0;
    if (n_files > CHECKPOINT_FILES_MAX)
        return fail(ERR_INPUT, "%s: key \"weight_map\" names %d files; expected at most %d", index,
                    n_files, CHECKPOINT_FILES_MAX);
    TRY(reserve_files(out, n_files));
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(mappings[i - 1].file, mappings[i].file) == 0)
            continue;
        enum status status = add_file(out, mappings[i].file);
        if (status == ERR_IO)
            return fail_in(status, "%s: key \"weight_map\" names %.200s; expected to read it",
                           index, mappings[i].file);
        TRY(status);
    }
    return merge_headers(out);
}

static enum status open_indexed(struct checkpoint *out, const char *index)
{
    json_t *root, *map;
    struct mapping *mappings = NULL;
    TRY(json_file(index, INDEX_BYTES_MAX, &root));
    enum status status = OK;
    TRY_DONE(json_get_object(root, index, "weight_map", &map, NULL));
    size_t n = json_object_size(map);
    if (n == 0 || n > CHECKPOINT_TENSORS_MAX) {
        status = fail(ERR_INPUT, "%s: key \"weight_map\" has %zu tensors; expected 1 to %d", index,
                      n, CHECKPOINT_TENSORS_MAX);
        goto done;
    }
    TRY_DONE(memory_new(n, sizeof *mappings, "a weight map", &mappings));
    TRY_DONE(read_weight_map(index, map, mappings));
    TRY_DONE(open_mapped(out, index, mappings, n));
done:
    free(mappings);
    json_decref(root);
    return status;
}

static enum status open_single(struct checkpoint *out, const char *name)
{
    TRY(reserve_files(out, 1));
    TRY(add_file(out, name));
    return merge_headers(out);
}

// The file that config.json names by the key that Transformers looks at before all else; "": none.
// What is wrong with config.json itself is its reader's to say.
static enum status find_named_file(const char *folder, char name[FILE_PATH_MAX])
{
    char path[FILE_PATH_MAX];
    json_t *root = NULL;
    *name = '\0';
    TRY(file_join(folder, "config.json", path));
    if (!file_exists(path) || json_file(path, CONFIG_BYTES_MAX, &root) != OK)
        return OK;
    const json_t *value = json_object_get(root, NAMED_KEY);
    const char *text = json_string_value(value);
    enum status status = OK;
    if (value && !json_is_null(value) &&
        (!text || !is_inside(text, json_string_length(value)) || strlen(text) >= FILE_PATH_MAX))
        status = fail(ERR_INPUT,
                      "%s: key \"" NAMED_KEY "\" is %s; expected the name of a file in the folder",
                      path, json_show(value));
    else if (text && !file_has_ending(text, ".safetensors") &&
             !file_has_ending(text, ".safetensors.index.json"))
        status = fail(ERR_UNSUPPORTED,
                      "%s: key \"" NAMED_KEY "\" is %s; expected a .safetensors file or a "
                      ".safetensors.index.json",
                      path, json_show(value));
    else if (text)
        snprintf(name, FILE_PATH_MAX, "%s", text);
    json_decref(root);
    return status;
}

static enum status open_named(struct checkpoint *out, const char *name)
{
    char path[FILE_PATH_MAX];
    TRY(file_join(out->folder, name, path));
    if (!file_exists(path))
        return fail(ERR_INPUT,
                    "%s: does not exist, but config.json names it as \"" NAMED_KEY
                    "\"; expected the weights there",
                    path);
    return file_has_ending(name, ".json") ? open_indexed(out, path) : open_single(out, name);
}

bool checkpoint_has_weights(const char *folder)
{
    char name[FILE_PATH_MAX], path[FILE_PATH_MAX];
    if (find_named_file(folder, name) != OK)
        return true; // opening it says what is wrong
    if (*name)
        return file_join(folder, name, path) == OK && file_exists(path);
    return (file_join(folder, SINGLE_NAME, path) == OK && file_exists(path)) ||
           (file_join(folder, INDEX_NAME, path) == OK && file_exists(path));
}

static enum status find_remote(struct checkpoint *out)
{
    struct hub_ranges *ranges;
    if (!hub_ranges_are(out->folder))
        return OK;
    TRY(arena_take(&out->arena, 1, sizeof *ranges, &ranges));
    TRY(hub_ranges_read(out->folder, ranges));
    out->remote = ranges;
    return OK;
}

static enum status open_files(struct checkpoint *out)
{
    char path[FILE_PATH_MAX], name[FILE_PATH_MAX];
    TRY(checkpoint_folder_check(out->folder));
    TRY(find_remote(out));
    TRY(file_join(out->folder, CONSOLIDATED_NAME, path));
    out->has_consolidated = file_exists(path);
    TRY(find_named_file(out->folder, name));
    if (*name)
        return open_named(out, name);
    // Transformers, too, prefers the single file where both stand.
    TRY(file_join(out->folder, SINGLE_NAME, path));
    if (file_exists(path))
        return open_single(out, SINGLE_NAME);
    TRY(file_join(out->folder, INDEX_NAME, path));
    if (file_exists(path))
        return open_indexed(out, path);
    return explain_absence(out->folder);
}

enum status checkpoint_open(const char *folder, struct checkpoint **out)
{
    struct checkpoint *checkpoint = NULL;
    char *copy;
    *out = NULL;
    TRY(memory_new(1, sizeof *checkpoint, "a checkpoint", &checkpoint));
    arena_init(&checkpoint->arena);
    enum status status = OK;
    TRY_DONE(arena_text(&checkpoint->arena, folder, strlen(folder), &copy));
    checkpoint->folder = copy;
    TRY_DONE(open_files(checkpoint));
    TRY_DONE(quantisation_of_folder(folder, &checkpoint->quantisation));
    *out = checkpoint;
done:
    if (status != OK)
        checkpoint_close(checkpoint);
    return status;
}

void checkpoint_close(struct checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    for (int i = 0; i < checkpoint->n_files; i++) {
        close(checkpoint->fds[i]);
        safetensors_close(&checkpoint->headers[i]);
    }
    if (checkpoint->remote)
        hub_ranges_fini(checkpoint->remote);
    quantisation_free(checkpoint->quantisation);
    arena_fini(&checkpoint->arena);
    free(checkpoint);
}

void checkpoint_read_from(struct checkpoint *checkpoint, const struct byte_sources *sources,
                          struct byte_source *source)
{
    checkpoint->sources = sources;
    checkpoint->source = source;
}

const struct tensor_info *checkpoint_find(const struct checkpoint *checkpoint, const char *name)
{
    assert(checkpoint && name);
    struct tensor_info wanted = {.name = name};
    if (checkpoint->n_tensors == 0)
        return NULL;
    return bsearch(&wanted, checkpoint->tensors, (size_t)checkpoint->n_tensors, sizeof wanted,
                   tensors_by_name);
}

static bool is_floating(enum element_type type)
{
    return type == ELEMENT_BF16 || type == ELEMENT_F16 || type == ELEMENT_F32 ||
           type == ELEMENT_F64;
}

enum element_type checkpoint_dtype(const struct checkpoint *checkpoint)
{
    const struct tensor_info *first = NULL;
    for (int i = 0; i < checkpoint->n_files && !first; i++)
        for (int j = 0; j < checkpoint->headers[i].n_tensors; j++) {
            const struct tensor_info *tensor = &checkpoint->headers[i].tensors[j];
            if (is_floating(tensor->type) && (!first || tensor->offset < first->offset))
                first = tensor;
        }
    return !first ? ELEMENT_NONE : first->type == ELEMENT_F64 ? ELEMENT_F32 : first->type;
}
