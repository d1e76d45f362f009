// Small random checkpoints that the tests make themselves, and a plain forward pass over them in
// double precision.
#ifndef COLROW_TESTS_TINY_MODEL_H
#define COLROW_TESTS_TINY_MODEL_H

#include "testing.h"

#include <math.h>

#include "base/file.h"
#include "device/number.h"
#include "hf/safetensors.h"
#include "model/model_config.h"

enum { TINY_LAYERS_MAX = 3, TINY_TENSORS_MAX = 64 };

struct tiny_spec {
    int heads, kv_heads, head_dim, hidden, intermediate, vocab, layers;
    bool bias, tied;
    int window;             // 0: none; otherwise Mistral
    enum element_type type; // ELEMENT_NONE: bf16, f16 and f32 in turn
    bool spiky;             // some weights are far larger than the rest, some are zero or denormal
};

struct tiny_tensor {
    char name[96];
    int64_t rows, columns;
    enum element_type type;
    float *values; // as stored, widened
};

struct tiny_model {
    struct tiny_spec spec;
    char folder[64];
    struct tiny_tensor tensors[TINY_TENSORS_MAX];
    int n_tensors;
};

// xorshift: the same numbers everywhere.
static inline double tiny_random(uint64_t *state) // about normal, deviation 1
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        sum += (double)(*state >> 11) / 9007199254740992.0 - 0.5;
    }
    return sum * 1.7320508;
}

static inline float tiny_round(double x, enum element_type type)
{
    if (type == ELEMENT_BF16)
        return float_of_bf16(bf16_of_float((float)x));
    return type == ELEMENT_F16 ? float_of_f16(f16_of_float((float)x)) : (float)x;
}

static inline void tiny_add(struct tiny_model *m, uint64_t *state, int64_t rows, int64_t columns,
                            const char *format, int layer)
{
    static const enum element_type types[] = {ELEMENT_BF16, ELEMENT_F16, ELEMENT_F32};
    assert_true(m->n_tensors < TINY_TENSORS_MAX);
    struct tiny_tensor *t = &m->tensors[m->n_tensors];
    snprintf(t->name, sizeof t->name, format, layer);
    t->rows = rows;
    t->columns = columns;
    t->type = m->spec.type != ELEMENT_NONE ? m->spec.type : types[m->n_tensors % 3];
    m->n_tensors++;
    size_t n = (size_t)(rows * columns);
    t->values = malloc(n * sizeof *t->values);
    assert_non_null(t->values);
    bool norm = strstr(t->name, "norm"), bias = strstr(t->name, "bias");
    double scale = norm || bias ? 0.2 : 1.3 / sqrt((double)columns);
    for (size_t i = 0; i < n; i++) {
        double x = scale * tiny_random(state) + (norm ? 1 : 0);
        if (m->spec.spiky && i % 97 == 13)
            x *= 30;
        if (m->spec.spiky && i % 89 == 7)
            x = 0;
        if (m->spec.spiky && i % 83 == 5)
            x *= 1e-42; // a denormal in f32, zero in f16
        t->values[i] = tiny_round(x, t->type);
    }
}

static inline void tiny_fill(struct tiny_model *m, uint64_t seed)
{
    const struct tiny_spec *s = &m->spec;
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    int64_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim, d = s->hidden,
            f = s->intermediate;
    tiny_add(m, &state, s->vocab, d, "model.embed_tokens.weight", 0);
    for (int l = 0; l < s->layers; l++) {
        tiny_add(m, &state, d, 1, "model.layers.%d.input_layernorm.weight", l);
        tiny_add(m, &state, q, d, "model.layers.%d.self_attn.q_proj.weight", l);
        tiny_add(m, &state, kv, d, "model.layers.%d.self_attn.k_proj.weight", l);
        tiny_add(m, &state, kv, d, "model.layers.%d.self_attn.v_proj.weight", l);
        tiny_add(m, &state, d, q, "model.layers.%d.self_attn.o_proj.weight", l);
        tiny_add(m, &state, d, 1, "model.layers.%d.post_attention_layernorm.weight", l);
        tiny_add(m, &state, f, d, "model.layers.%d.mlp.gate_proj.weight", l);
        tiny_add(m, &state, f, d, "model.layers.%d.mlp.up_proj.weight", l);
        tiny_add(m, &state, d, f, "model.layers.%d.mlp.down_proj.weight", l);
        if (!s->bias)
            continue;
        tiny_add(m, &state, q, 1, "model.layers.%d.self_attn.q_proj.bias", l);
        tiny_add(m, &state, kv, 1, "model.layers.%d.self_attn.k_proj.bias", l);
        tiny_add(m, &state, kv, 1, "model.layers.%d.self_attn.v_proj.bias", l);
        tiny_add(m, &state, d, 1, "model.layers.%d.self_attn.o_proj.bias", l);
        tiny_add(m, &state, f, 1, "model.layers.%d.mlp.gate_proj.bias", l);
        tiny_add(m, &state, f, 1, "model.layers.%d.mlp.up_proj.bias", l);
        tiny_add(m, &state, d, 1, "model.layers.%d.mlp.down_proj.bias", l);
    }
    tiny_add(m, &state, d, 1, "model.norm.weight", 0);
    if (!s->tied)
        tiny_add(m, &state, s->vocab, d, "lm_head.weight", 0);
}

static inline void tiny_write_config(const struct tiny_model *m)
{
    const struct tiny_spec *s = &m->spec;
    char path[128], text[2048], window[64] = "";
    if (s->window)
        snprintf(window, sizeof window, "\"sliding_window\": %d, ", s->window);
    snprintf(text, sizeof text,
             "{\"architectures\": [\"%s\"], \"model_type\": \"%s\", \"hidden_act\": \"silu\", "
             "\"hidden_size\": %d, "
             "\"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
             "\"num_key_value_heads\": %d, \"head_dim\": %d, \"vocab_size\": %d, "
             "\"max_position_embeddings\": 2048, "
             "\"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, %s\"attention_bias\": %s, "
             "\"mlp_bias\": %s, "
             "\"tie_word_embeddings\": %s, \"torch_dtype\": \"%s\"}",
             s->window ? "MistralForCausalLM" : "LlamaForCausalLM", s->window ? "mistral" : "llama",
             s->hidden, s->intermediate, s->layers, s->heads, s->kv_heads, s->head_dim, s->vocab,
             window, s->bias ? "true" : "false", s->bias ? "true" : "false",
             s->tied ? "true" : "false",
             element_dtype_name(s->type == ELEMENT_NONE ? ELEMENT_F32 : s->type));
    snprintf(path, sizeof path, "%s/config.json", m->folder);
    assert_int_equal(file_write(path, text, strlen(text)), OK);
}

// Writes all tensors but `missing` (NULL: none); `spoil` may change a tensor's spec first.
static inline void tiny_write_weights(const struct tiny_model *m, const char *missing,
                                      void (*spoil)(struct tensor_spec *spec))
{
    struct tensor_spec specs[TINY_TENSORS_MAX];
    struct safetensors_writer *writer;
    char path[128];
    int n = 0;
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tiny_tensor *t = &m->tensors[i];
        if (missing && strcmp(missing, t->name) == 0)
            continue;
        specs[n] = (struct tensor_spec){.name = t->name,
                                        .type = t->type,
                                        .n_dimensions = t->columns > 1 ? 2 : 1,
                                        .shape = {t->rows, t->columns}};
        if (spoil)
            spoil(&specs[n]);
        n++;
    }
    snprintf(path, sizeof path, "%s/model.safetensors", m->folder);
    assert_int_equal(safetensors_create(path, specs, n, NULL, 0, &writer), OK);
    for (int i = 0, at = 0; i < m->n_tensors; i++) {
        const struct tiny_tensor *t = &m->tensors[i];
        if (missing && strcmp(missing, t->name) == 0)
            continue;
        size_t count = 1;
        for (int k = 0; k < specs[at].n_dimensions; k++)
            count *= (size_t)specs[at].shape[k];
        size_t item = element_bytes(specs[at].type), have = (size_t)(t->rows * t->columns);
        char *data = calloc(count + have, item < 4 ? 4 : item);
        assert_non_null(data);
        for (size_t k = 0; k < have; k++)
            if (t->type == ELEMENT_F32)
                memcpy(data + 4 * k, &t->values[k], 4);
            else {
                uint16_t bits = t->type == ELEMENT_BF16 ? bf16_of_float(t->values[k])
                                                        : f16_of_float(t->values[k]);
                memcpy(data + 2 * k, &bits, 2);
            }
        assert_int_equal(safetensors_write(writer, data, count * item), OK);
        free(data);
        at++;
    }
    assert_int_equal(safetensors_finish(writer), OK);
}

static inline void tiny_make(struct tiny_model *m, const struct tiny_spec *spec, uint64_t seed)
{
    *m = (struct tiny_model){.spec = *spec};
    snprintf(m->folder, sizeof m->folder, "/tmp/colrow-tiny-XXXXXX");
    assert_non_null(mkdtemp(m->folder));
    tiny_fill(m, seed);
    tiny_write_config(m);
    tiny_write_weights(m, NULL, NULL);
}

static inline void tiny_remove(struct tiny_model *m)
{
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", m->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", m->folder);
    unlink(path);
    rmdir(m->folder);
    for (int i = 0; i < m->n_tensors; i++)
        free(m->tensors[i].values);
    *m = (struct tiny_model){0};
}

static inline const float *tiny_find(const struct tiny_model *m, const char *format, int layer)
{
    char name[96];
    snprintf(name, sizeof name, format, layer);
    for (int i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return m->tensors[i].values;
    return NULL;
}

static inline double *tiny_doubles(size_t n)
{
    double *x = calloc(n, sizeof *x);
    assert_non_null(x);
    return x;
}

// y[n] = W[n, k] x[k] + b
static inline void tiny_linear(const float *w, const float *b, int n, int k, const double *x,
                               double *y)
{
    for (int i = 0; i < n; i++) {
        y[i] = b ? (double)b[i] : 0;
        for (int j = 0; j < k; j++)
            y[i] += (double)w[(size_t)i * (size_t)k + (size_t)j] * x[j];
    }
}

static inline void tiny_norm(const double *x, const float *w, int n, double *y)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (int i = 0; i < n; i++)
        y[i] = x[i] / sqrt(sum / n + 1e-5) * (double)w[i];
}

static inline void tiny_rotate(double *x, int head_dim, int position)
{
    int half = head_dim / 2;
    for (int i = 0; i < half; i++) {
        double angle = position * pow(10000.0, -2.0 * i / head_dim), c = cos(angle), s = sin(angle);
        double a = x[i], b = x[i + half];
        x[i] = a * c - b * s;
        x[i + half] = b * c + a * s;
    }
}

// One query over keys and values [n][stride], of which it sees those from `first` on.
static inline void tiny_attend(const double *q, const double *k, const double *v, int stride,
                               int first, int n, int head_dim, double *out)
{
    double *p = tiny_doubles((size_t)n), most = -INFINITY, sum = 0;
    for (int j = first; j < n; j++) {
        for (int d = 0; d < head_dim; d++)
            p[j] += q[d] * k[j * stride + d];
        p[j] /= sqrt(head_dim);
        most = p[j] > most ? p[j] : most;
    }
    for (int j = first; j < n; j++) {
        p[j] = exp(p[j] - most);
        sum += p[j];
    }
    for (int d = 0; d < head_dim; d++) {
        out[d] = 0;
        for (int j = first; j < n; j++)
            out[d] += p[j] / sum * v[j * stride + d];
    }
    free(p);
}

static inline void tiny_layer(const struct tiny_model *m, int l, int n, double *x)
{
    const struct tiny_spec *s = &m->spec;
    int d = s->hidden, f = s->intermediate, hd = s->head_dim, nq = s->heads * hd,
        nkv = s->kv_heads * hd;
#define TINY(part) tiny_find(m, "model.layers.%d." part, l)
    double *h = tiny_doubles((size_t)(d + f)), *u = tiny_doubles((size_t)(d + f)),
           *q = tiny_doubles((size_t)(n * nq));
    double *k = tiny_doubles((size_t)(n * nkv)), *v = tiny_doubles((size_t)(n * nkv)),
           *a = tiny_doubles((size_t)nq);
    for (int t = 0; t < n; t++) {
        tiny_norm(x + t * d, TINY("input_layernorm.weight"), d, h);
        tiny_linear(TINY("self_attn.q_proj.weight"), TINY("self_attn.q_proj.bias"), nq, d, h,
                    q + t * nq);
        tiny_linear(TINY("self_attn.k_proj.weight"), TINY("self_attn.k_proj.bias"), nkv, d, h,
                    k + t * nkv);
        tiny_linear(TINY("self_attn.v_proj.weight"), TINY("self_attn.v_proj.bias"), nkv, d, h,
                    v + t * nkv);
        for (int i = 0; i < s->heads; i++)
            tiny_rotate(q + t * nq + i * hd, hd, t);
        for (int i = 0; i < s->kv_heads; i++)
            tiny_rotate(k + t * nkv + i * hd, hd, t);
    }
    for (int t = 0; t < n; t++) {
        int first = s->window && t - s->window + 1 > 0 ? t - s->window + 1 : 0;
        for (int i = 0; i < s->heads; i++) {
            int g = i / (s->heads / s->kv_heads);
            tiny_attend(q + t * nq + i * hd, k + g * hd, v + g * hd, nkv, first, t + 1, hd,
                        a + i * hd);
        }
        tiny_linear(TINY("self_attn.o_proj.weight"), TINY("self_attn.o_proj.bias"), d, nq, a, h);
        for (int i = 0; i < d; i++)
            x[t * d + i] += h[i];
        tiny_norm(x + t * d, TINY("post_attention_layernorm.weight"), d, h);
        tiny_linear(TINY("mlp.up_proj.weight"), TINY("mlp.up_proj.bias"), f, d, h, u);
        double *gate = tiny_doubles((size_t)f);
        tiny_linear(TINY("mlp.gate_proj.weight"), TINY("mlp.gate_proj.bias"), f, d, h, gate);
        for (int i = 0; i < f; i++)
            u[i] *= gate[i] / (1 + exp(-gate[i]));
        tiny_linear(TINY("mlp.down_proj.weight"), TINY("mlp.down_proj.bias"), d, f, u, h);
        for (int i = 0; i < d; i++)
            x[t * d + i] += h[i];
        free(gate);
    }
#undef TINY
    free(h);
    free(u);
    free(q);
    free(k);
    free(v);
    free(a);
}

// logits [n, vocab]
static inline void tiny_forward(const struct tiny_model *m, const int32_t *tokens, int n,
                                double *logits)
{
    int d = m->spec.hidden, vocab = m->spec.vocab;
    const float *embed = tiny_find(m, "model.embed_tokens.weight", 0);
    const float *head = m->spec.tied ? embed : tiny_find(m, "lm_head.weight", 0);
    double *x = tiny_doubles((size_t)(n * d)), *h = tiny_doubles((size_t)d);
    for (int t = 0; t < n; t++)
        for (int i = 0; i < d; i++)
            x[t * d + i] = (double)embed[tokens[t] * d + i];
    for (int l = 0; l < m->spec.layers; l++)
        tiny_layer(m, l, n, x);
    for (int t = 0; t < n; t++) {
        tiny_norm(x + t * d, tiny_find(m, "model.norm.weight", 0), d, h);
        tiny_linear(head, NULL, vocab, d, h, logits + t * vocab);
    }
    free(x);
    free(h);
}

static inline void tiny_tokens(int32_t *tokens, int n, int vocab)
{
    for (int i = 0; i < n; i++)
        tokens[i] = (int32_t)(((uint32_t)i * 2654435761u >> 8) % (uint32_t)vocab);
}

#endif
