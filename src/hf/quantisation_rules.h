// Between the files that read quantization_config: which modules a rule is for.
#ifndef COLROW_HF_QUANTISATION_RULES_H
#define COLROW_HF_QUANTISATION_RULES_H

#include "base/json.h"
#include "hf/quantisation.h"

enum quant_target { TARGET_NAME, TARGET_REGEX, TARGET_CLASS };

struct quant_rule {
    enum quant_target kind;
    const char *text;
    void *code; // of TARGET_REGEX, compiled
    struct quant_scheme scheme;
    bool is_left_alone; // the module keeps numbers
};

struct quantisation {
    struct arena arena;
    enum quant_method method;
    const char *name, *where;
    bool has_base; // a scheme for what no rule names
    struct quant_scheme base;
    struct quant_rule *rules; // on the heap
    size_t n_rules, capacity;
};

// `text` begins with "re:" where `kind` is TARGET_NAME and it is a regular expression.
enum status quant_add_rule(struct quantisation *q, enum quant_target kind, const char *text,
                           const struct quant_scheme *scheme, bool is_left_alone) STATUS_MUST_USE;
void quant_free_rules(struct quantisation *q);
// The rule that counts for a module, NULL: none. compressed-tensors: its name before regular
// expressions before its class; others: a name before what stands first.
const struct quant_rule *quant_find_rule(const struct quantisation *q, const char *module);

// Typed reading of a quantization_config's keys; absent and null leave `*out` alone.
enum status quant_read_flag(const json_t *object, const char *where, const char *key,
                            bool *out) STATUS_MUST_USE;
enum status quant_read_number(const json_t *object, const char *where, const char *key,
                              int64_t least, int64_t most, int32_t *out) STATUS_MUST_USE;
// "" where it is absent.
enum status quant_read_text(const json_t *object, const char *where, const char *key,
                            const char **out) STATUS_MUST_USE;

// compressed_scheme.c: config_groups.
enum status quant_read_compressed(const json_t *config, struct quantisation *q) STATUS_MUST_USE;

#endif
