#include "hf/tp_plan_rules.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/name_list.h"

// Every spelling; the first of a style is its newest name. Transformers 4.46 to 5.24,
// distributed/tensor_parallel.py, expert_parallel.py and, before, integrations/tensor_parallel.py.
static const struct {
    const char *name;
    enum tp_style style;
} names[] = {
    {"colwise", TP_COLWISE},
    {"colwise_gather_output", TP_COLWISE_GATHER_OUTPUT},
    {"rowwise", TP_ROWWISE},
    {"rowwise_split_input", TP_ROWWISE_SPLIT_INPUT},
    {"packed_colwise", TP_PACKED_COLWISE},
    {"packed_rowwise", TP_PACKED_ROWWISE},
    {"gather", TP_GATHER},
    {"replicate", TP_REPLICATE},
    {"sequence_parallel", TP_SEQUENCE_PARALLEL},
    {"embedding_rowwise", TP_EMBEDDING_ROWWISE},
    {"embedding_colwise", TP_EMBEDDING_COLWISE},
    {"moe_tp_experts", TP_MOE_TP_EXPERTS},
    {"grouped_gemm", TP_GROUPED_GEMM},
    {"ep_router", TP_EP_ROUTER},
    {"ep_dispatch_experts", TP_EP_DISPATCH_EXPERTS},
    {"replicated_with_grad_allreduce", TP_REPLICATED_WITH_GRAD_ALLREDUCE},
    {"mla_kv_a_proj", TP_MLA_KV_A_PROJ},
    {"all_reduce", TP_ALL_REDUCE},
    {"local_params", TP_LOCAL},
    {"isolated", TP_ISOLATED},
    {"moe_identity_expert", TP_MOE_IDENTITY_EXPERT},
    // older spellings
    {"colwise_rep", TP_COLWISE_GATHER_OUTPUT},
    {"rowwise_rep", TP_ROWWISE_SPLIT_INPUT},
    {"local", TP_LOCAL},
    {"local_colwise", TP_COLWISE},
    {"local_rowwise", TP_ROWWISE},
    {"local_packed_colwise", TP_PACKED_COLWISE},
    {"local_packed_rowwise", TP_PACKED_ROWWISE},
};
enum { N_NAMES = sizeof names / sizeof names[0], NAME_MAX_BYTES = 1024 };

const char *tp_style_name(enum tp_style style)
{
    for (int i = 0; i < N_NAMES; i++)
        if (names[i].style == style)
            return names[i].name;
    return "none";
}

enum tp_style tp_style_from_name(const char *name)
{
    for (int i = 0; i < N_NAMES; i++)
        if (strcmp(name, names[i].name) == 0)
            return names[i].style;
    return TP_NONE;
}

static enum status unknown_style(const char *name, const char *pattern, const json_t *value)
{
    char known[1024] = "";
    for (int i = 0; i < N_NAMES; i++)
        name_list_add(known, sizeof known, names[i].name);
    return fail(ERR_INPUT, "%s: rule \"%.200s\": unknown style %s; expected one of %s", name,
                pattern, json_show(value), known);
}

static enum status read_rule(struct tp_plan_rules *out, const char *name, const char *pattern,
                             size_t length, const json_t *value)
{
    assert(out->n_rules < TP_PLAN_RULES_MAX);
    if (length == 0 || length >= NAME_MAX_BYTES || strlen(pattern) != length)
        return fail(ERR_INPUT,
                    "%s: rule \"%.80s\" has a pattern of %zu bytes; expected 1 to %d without the "
                    "character NUL, such as \"model.layers.*.mlp.up_proj\"",
                    name, pattern, length, NAME_MAX_BYTES - 1);
    if (!json_is_string(value))
        return fail(ERR_INPUT,
                    "%s: rule \"%.200s\" is %s; expected the name of a style, such as \"colwise\"",
                    name, pattern, json_show(value));
    const char *style = json_string_value(value);
    struct tp_rule *rule = &out->rules[out->n_rules];
    rule->style = tp_style_from_name(style);
    if (rule->style == TP_NONE || strlen(style) != json_string_length(value))
        return unknown_style(name, pattern, value);
    char *copy;
    TRY(arena_text(&out->arena, pattern, strlen(pattern), &copy));
    rule->pattern = copy;
    TRY(arena_text(&out->arena, style, strlen(style), &copy));
    rule->style_name = copy;
    out->n_rules++;
    return OK;
}

static enum status add_rules(struct tp_plan_rules *out, const char *name, json_t *rules)
{
    const char *pattern;
    size_t length;
    json_t *value;
    json_object_keylen_foreach(rules, pattern, length, value)
        TRY(read_rule(out, name, pattern, length, value));
    return OK;
}

// Room for those of two objects (either may be NULL or null).
static enum status take_rules(struct tp_plan_rules *out, const char *name, const json_t *first,
                              const json_t *second, size_t more)
{
    size_t n = json_object_size(first) + json_object_size(second) + more;
    if (n > TP_PLAN_RULES_MAX)
        return fail(ERR_INPUT, "%s: the plan has %zu rules; expected at most %d", name, n,
                    TP_PLAN_RULES_MAX);
    return arena_take(&out->arena, n, sizeof *out->rules, &out->rules);
}

static const char base_key[] = "base_model_tp_plan", head_key[] = "causal_lm_tp_plan";

static enum status check_part(const char *name, const char *key, const json_t *part)
{
    if (!part || json_is_null(part) || json_is_object(part))
        return OK;
    return fail(ERR_INPUT, "%s: \"%s\" is %s; expected an object of rules \"pattern\": \"style\"",
                name, key, json_kind(part));
}

// Transformers adds the embedding by itself wherever the base model has a plan.
static enum status read_familys(const char *name, json_t *entry, struct tp_plan_rules *out)
{
    json_t *base = json_object_get(entry, base_key), *head = json_object_get(entry, head_key);
    if (!json_is_object(entry))
        return fail(ERR_INPUT, "%s: a family's plan is %s; expected an object with \"%s\"", name,
                    json_kind(entry), base_key);
    TRY(check_part(name, base_key, base));
    TRY(check_part(name, head_key, head));
    TRY(take_rules(out, name, base, head, 1));
    TRY(add_rules(out, name, base));
    TRY(add_rules(out, name, head));
    if (json_object_size(base) && !json_object_get(base, "embed_tokens")) {
        json_t *style = json_string("embedding_rowwise");
        enum status status =
            style ? read_rule(out, name, "embed_tokens", 12, style) : fail_memory(1, "a rule");
        json_decref(style);
        TRY(status);
    }
    out->is_familys = true;
    return OK;
}

static json_t *find_familys(json_t *plans, const char *const *model_types)
{
    for (; *model_types; model_types++) {
        char of_text[NAME_MAX_BYTES];
        json_t *entry = json_object_get(plans, *model_types);
        snprintf(of_text, sizeof of_text, "%s_text", *model_types);
        entry = entry ? entry : json_object_get(plans, of_text);
        if (entry)
            return entry;
    }
    return NULL;
}

static enum status read_plan(const char *name, json_t *root, const char *const *model_types,
                             struct tp_plan_rules *out)
{
    if (!json_is_object(root))
        return fail(ERR_INPUT,
                    "%s: the plan is %s; expected an object of rules \"pattern\": \"style\"", name,
                    json_kind(root));
    char *source;
    TRY(arena_text(&out->arena, name, strlen(name), &source));
    out->source = source;
    json_t *plans = json_object_get(root, "plans");
    if (json_is_object(plans)) {
        json_t *entry = find_familys(plans, model_types);
        if (!entry)
            return fail(
                ERR_INPUT,
                "%s: has %zu families' plans, but none for model_type \"%s\"; expected one, or "
                "rules \"pattern\": \"style\" alone",
                name, json_object_size(plans), *model_types ? *model_types : "");
        return read_familys(name, entry, out);
    }
    const json_t *base = json_object_get(root, base_key);
    if (base && !json_is_string(base))
        return read_familys(name, root, out);
    TRY(take_rules(out, name, root, NULL, 0));
    return add_rules(out, name, root);
}

static void start_rules(struct tp_plan_rules *out)
{
    *out = (struct tp_plan_rules){0};
    arena_init(&out->arena);
}

enum status tp_plan_parse(const char *name, const char *text, size_t length,
                          const char *const *model_types, struct tp_plan_rules *out)
{
    json_t *root;
    start_rules(out);
    if (length > TP_PLAN_BYTES_MAX)
        return fail(ERR_INPUT, "%s: has %zu bytes; expected at most %d", name, length,
                    TP_PLAN_BYTES_MAX);
    TRY(json_parse(name, text, length, &root));
    enum status status = read_plan(name, root, model_types, out);
    json_decref(root);
    if (status != OK)
        tp_plan_close(out);
    return status;
}

enum status tp_plan_file(const char *path, const char *const *model_types,
                         struct tp_plan_rules *out)
{
    struct bytes text;
    start_rules(out);
    bytes_init(&text);
    enum status status = file_read_given(path, TP_PLAN_BYTES_MAX, &text);
    if (status == OK)
        status = tp_plan_parse(path, text.data, text.length, model_types, out);
    bytes_fini(&text);
    return status;
}

void tp_plan_close(struct tp_plan_rules *rules)
{
    arena_fini(&rules->arena);
    start_rules(rules);
}

// re.sub(r"\.\d+(\.|$)", ".*\1", name): the final dot belongs to the match, so of two numbers side
// by side only the first is replaced. False when the name is too long to match any pattern.
static bool generalise(const char *name, char *out)
{
    size_t used = 0;
    if (strlen(name) >= NAME_MAX_BYTES)
        return false;
    while (*name) {
        size_t digits = *name == '.' ? strspn(name + 1, "0123456789") : 0;
        char after = name[1 + digits];
        if (digits == 0 || (after != '.' && after != '\0')) {
            out[used++] = *name++;
            continue;
        }
        out[used++] = '.';
        out[used++] = '*';
        name += 1 + digits;
        if (after == '.')
            out[used++] = *name++;
    }
    assert(used < NAME_MAX_BYTES); // ".7." became ".*.": never longer
    out[used] = '\0';
    return true;
}

// What stands before the names of a base model, in checkpoints and in plans made of whole models.
static const char *without_prefixes(const char *name)
{
    static const char *const prefixes[] = {"model.", "language_model.", "transformer.",
                                           "gpt_neox."};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0];) {
        size_t length = strlen(prefixes[i]);
        bool is_there = strncmp(name, prefixes[i], length) == 0;
        name += is_there ? length : 0;
        i = is_there ? 0 : i + 1;
    }
    return name;
}

static int find_pattern(const struct tp_plan_rules *rules, const char *name)
{
    const char *base = without_prefixes(name);
    int found = -1;
    for (int i = 0; i < rules->n_rules; i++) {
        if (strcmp(rules->rules[i].pattern, name) == 0)
            return i; // the whole name goes before the one without its prefix
        if (*base && strcmp(without_prefixes(rules->rules[i].pattern), base) == 0)
            found = i;
    }
    return found;
}

int tp_plan_match(const struct tp_plan_rules *rules, const char *parameter_name)
{
    char name[NAME_MAX_BYTES];
    assert(rules && parameter_name);
    if (!generalise(parameter_name, name))
        return -1;
    int found = find_pattern(rules, name);
    char *dot = strrchr(name, '.');
    if (found >= 0 || !dot)
        return found;
    *dot = '\0';
    return find_pattern(rules, name);
}

bool tp_plan_names_module(const char *pattern, const char *parameter_name)
{
    char name[NAME_MAX_BYTES];
    if (!generalise(parameter_name, name))
        return false;
    const char *module = without_prefixes(pattern), *base = without_prefixes(name);
    size_t length = strlen(module);
    return length > 0 && strncmp(base, module, length) == 0 && base[length] == '.';
}
