// The input is a tp_plan; a few names are matched against it.
#include "fuzz.h"

#include <string.h>

#include "hf/tp_plan_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"model.layers.0.self_attn.q_proj.weight",
                                        "lm_head.weight",
                                        "",
                                        ".",
                                        ".1.2.3",
                                        "model.layers.12",
                                        "model."};
    struct tp_plan_rules rules;
    static const char *const model_types[] = {"llama", NULL};
    if (tp_plan_parse("fuzz", (const char *)data, size, model_types, &rules) != OK)
        return 0;
    for (int i = 0; i < rules.n_rules; i++) {
        assert(rules.rules[i].style > TP_NONE && rules.rules[i].style < TP_STYLES);
        assert(tp_style_from_name(rules.rules[i].style_name) == rules.rules[i].style);
        int found = tp_plan_match(&rules, rules.rules[i].pattern);
        assert(found < rules.n_rules);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert(tp_plan_match(&rules, names[i]) < rules.n_rules);
    tp_plan_close(&rules);
    return 0;
}
