// What tensors and metadata say of a stored weight: bitsandbytes' quant_state, torchao's layout.
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "hf/weight_shapes.h"

enum { STATE_BYTES_MAX = 4096 };

static enum status refuse_state(const struct checkpoint *checkpoint,
                                const struct tensor_info *tensor, const char *what)
{
    return fail(ERR_INPUT, "%s: tensor \"%.200s\": %s", weight_file(checkpoint, tensor),
                tensor->name, what);
}

// "bfloat16", also as torch names it; ELEMENT_NONE for others than numbers.
static enum element_type number_type(const char *name)
{
    const enum element_type type = name ? element_from_dtype(name) : ELEMENT_NONE;
    return type == ELEMENT_F64 || !type_is_number(type) ? ELEMENT_NONE : type;
}

static enum status use_state(const struct checkpoint *checkpoint, const struct tensor_info *tensor,
                             const json_t *state, struct stored_weight *w)
{
    const json_t *shape = json_object_get(state, "shape");
    int64_t block = 0, nested = 0;
    bool found;
    double offset = 0;
    TRY(json_get_int(state, tensor->name, "blocksize", 1, QUANT_GROUP_MAX, &block, NULL));
    TRY(json_get_int(state, tensor->name, "nested_blocksize", 1, QUANT_GROUP_MAX, &nested, &found));
    TRY(json_get_number(state, tensor->name, "nested_offset", -1e30, 1e30, &offset, &found));
    w->numbers.type = number_type(json_string_value(json_object_get(state, "dtype")));
    if (w->numbers.type == ELEMENT_NONE)
        return refuse_state(checkpoint, tensor,
                            "key \"dtype\" names no type; expected bfloat16, float16 or float32");
    if (json_array_size(shape) != 2 || json_integer_value(json_array_get(shape, 0)) != w->rows ||
        json_integer_value(json_array_get(shape, 1)) != w->columns)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": key \"shape\" is %s; expected [%lld, %lld] from "
                    "config.json",
                    weight_file(checkpoint, tensor), tensor->name, json_show(shape),
                    (long long)w->rows, (long long)w->columns);
    w->group = block;
    w->nested_group = nested;
    w->nested_offset = (float)offset;
    return OK;
}

// bitsandbytes' JSON in a tensor of bytes.
static enum status read_state(const struct checkpoint *checkpoint, struct stored_weight *w)
{
    const struct tensor_info *tensor = w->parts[PART_STATE].tensor;
    char text[STATE_BYTES_MAX];
    json_t *state = NULL;
    if (tensor->type != ELEMENT_U8 || tensor->bytes > sizeof text || tensor->n_dimensions != 1)
        return refuse_state(checkpoint, tensor, "expected at most 4096 bytes of JSON as U8");
    const struct tensor_slice whole = tensor_whole(tensor);
    TRY(checkpoint_read(checkpoint, &whole, text, NULL));
    TRY(json_parse(tensor->name, text, (size_t)tensor->bytes, &state));
    const enum status status = json_is_object(state)
                                   ? use_state(checkpoint, tensor, state, w)
                                   : refuse_state(checkpoint, tensor, "expected a JSON object");
    json_decref(state);
    return status;
}

static enum status use_metadata(const struct tensor_info *tensor, const char *file,
                                const json_t *root, struct stored_weight *w)
{
    const char *type = json_string_value(json_object_get(root, "_type"));
    const json_t *data = json_object_get(root, "_data"),
                 *block = json_object_get(data, "block_size");
    const json_t *dtype = json_object_get(data, "dtype");
    const json_int_t rows = json_integer_value(json_array_get(block, 0)),
                     columns = json_integer_value(json_array_get(block, 1));
    if (!type || (strcmp(type, "Int8Tensor") != 0 && strcmp(type, "Float8Tensor") != 0))
        return fail(ERR_UNSUPPORTED,
                    "%s: tensor \"%.200s\": the file's metadata says %.60s; expected Int8Tensor or "
                    "Float8Tensor",
                    file, tensor->name, type ? type : "no _type");
    w->numbers.type = number_type(json_string_value(json_object_get(dtype, "_data")));
    if (w->numbers.type == ELEMENT_NONE || json_array_size(block) != 2 || rows < 1 || columns < 1 ||
        rows > w->rows || columns > w->columns)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\": the file's metadata has the block_size %s; expected "
                    "two sizes of at most [%lld, %lld], and the dtype of numbers",
                    file, tensor->name, block ? json_show(block) : "none", (long long)w->rows,
                    (long long)w->columns);
    weight_lay_scales(w, rows, columns);
    return OK;
}

// torchao's layout is in the metadata of the file, under the name of the whole.
static enum status read_metadata_of(const struct checkpoint *checkpoint, const char *name,
                                    struct stored_weight *w)
{
    const struct tensor_info *tensor = w->parts[PART_VALUES].tensor;
    const struct safetensors_header *header = &checkpoint->headers[tensor->file];
    char full[WEIGHT_NAME_BYTES];
    snprintf(full, sizeof full, "%.*s.weight", (int)weight_module_length(name), name);
    for (int i = 0; i < header->n_metadata; i++) {
        json_t *root = NULL;
        if (strcmp(header->metadata[2 * (size_t)i], full) != 0)
            continue;
        const char *text = header->metadata[2 * (size_t)i + 1];
        TRY(json_parse(full, text, strlen(text), &root));
        const enum status status = use_metadata(tensor, weight_file(checkpoint, tensor), root, w);
        json_decref(root);
        return status;
    }
    return fail(ERR_INPUT,
                "%s: tensor \"%.200s\": the file's metadata has no \"%.200s\"; expected torchao's "
                "layout there",
                weight_file(checkpoint, tensor), tensor->name, full);
}

enum status weight_read_layout(const struct checkpoint *checkpoint, const char *name,
                               struct stored_weight *w)
{
    w->numbers.type = ELEMENT_F32;
    switch (w->recipe->rounding) {
    case ROUNDED_AS_SCALES:
        w->numbers.type = w->parts[PART_SCALES].tensor->type;
        return OK;
    case ROUNDED_TO_BF16:
        w->numbers.type = ELEMENT_BF16;
        return OK;
    case ROUNDED_AS_SAID:
        return w->parts[PART_STATE].tensor ? read_state(checkpoint, w)
                                           : read_metadata_of(checkpoint, name, w);
    case NOT_ROUNDED:
        return OK;
    }
    return OK;
}
