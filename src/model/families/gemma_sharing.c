// What Gemma 3n and Gemma 4 have in common: layers that read the keys of earlier ones, and inputs
// of layers beside the stream.
#include <stddef.h>

#include "model/families/gemma_parts.h"

enum status gemma_read_sharing(const struct config_reader *reader, int64_t absent,
                               const struct model_config *out, int32_t *first)
{
    static const char key[] = "num_kv_shared_layers";
    int64_t shared = config_is_absent(reader, key) ? absent : 0;
    TRY(config_read_int(reader, key, 0, out->num_hidden_layers - 1, &shared));
    if (shared >= out->num_hidden_layers)
        return fail(ERR_INPUT,
                    "%s: key \"%s\" is absent and means %lld in %s; expected fewer than the %d "
                    "layers",
                    reader->name, key, (long long)shared, reader->architecture,
                    (int)out->num_hidden_layers);
    *first = out->num_hidden_layers - (int32_t)shared;
    return OK;
}

struct sublayer_config *gemma_add_inputs(const struct model_config *out, enum activation activation,
                                         struct layer_config *layer)
{
    struct sublayer_config *last = &layer->sublayers[layer->n_sublayers++];
    last->kind = MIX_MLP;
    last->after = layer->sublayers[0].after;
    last->multiplier = 1;
    last->mlp.intermediate_size = out->layer_inputs.size;
    last->mlp.activation = activation;
    last->mlp.times_layer_input = true;
    return last;
}

static const struct attention_config *attention_of(const struct model_config *out, int32_t layer)
{
    return &model_config_layer(out, layer)->sublayers[0].attention;
}

static enum status find_source(const struct config_reader *reader, const struct model_config *out,
                               int32_t first_shared, int32_t layer, int16_t *source)
{
    const struct attention_config *ours = attention_of(out, layer);
    for (int32_t i = first_shared - 1; i >= 0; i--) {
        const struct attention_config *theirs = attention_of(out, i);
        if ((theirs->sliding_window == 0) != (ours->sliding_window == 0))
            continue;
        if (theirs->head_dim != ours->head_dim ||
            theirs->num_key_value_heads != ours->num_key_value_heads)
            return fail(ERR_INPUT,
                        "%s: layer %d reads the keys of layer %d, which has heads of another size; "
                        "expected the same head_dim and num_key_value_heads",
                        reader->name, (int)layer, (int)i);
        *source = (int16_t)i;
        return OK;
    }
    return fail(ERR_INPUT,
                "%s: key \"num_kv_shared_layers\" leaves no layer with keys of its own for layer "
                "%d; expected an earlier one with the same entry in layer_types",
                reader->name, (int)layer);
}

enum status gemma_add_layer(const struct config_reader *reader, struct model_config *out,
                            int32_t first_shared, int32_t layer, struct layer_config *own)
{
    own->sublayers[0].attention.keys_of_earlier = layer >= first_shared;
    TRY(describe_add_layer(reader, out, layer, own));
    return layer < first_shared
               ? OK
               : find_source(reader, out, first_shared, layer, &out->kv_layer[layer]);
}
