// Which rule of a tp_plan names which parameter, however the checkpoint spells it.
#include <stdio.h>
#include <string.h>

#include "model/plan_build.h"

// What Transformers calls a module under whose checkpoint's name, or `planned` one, this is; into
// `out`. False: just that.
static bool spell_as_planned(const struct family *family, const char *name, char *out, size_t room)
{
    size_t prefix = strlen(family->base_prefix);
    if (!family->planned_prefix || strncmp(name, family->base_prefix, prefix) != 0)
        return false;
    snprintf(out, room, "%s%s", family->planned_prefix, name + prefix);
    return true;
}

static int match_name(const struct family *family, const struct tp_plan_rules *rules,
                      const char *pattern)
{
    char name[160], planned[176];
    // Layers are alike: HuggingFace's matching puts a star for their number.
    snprintf(name, sizeof name, pattern, 0);
    int index = tp_plan_match(rules, name);
    return index < 0 && spell_as_planned(family, name, planned, sizeof planned)
               ? tp_plan_match(rules, planned)
               : index;
}

int plan_find_rule(const struct family *family, const struct tp_plan_rules *rules,
                   const struct parameter_row *row)
{
    int index = match_name(family, rules, row->name);
    if (index < 0 && row->planned)
        index = match_name(family, rules, row->planned);
    // whatever a checkpoint calls it, in Transformers' plans it is this
    if (index < 0 && row->slots[0] == SLOT_LM_HEAD)
        index = tp_plan_match(rules, row->bias ? "lm_head.bias" : "lm_head.weight");
    return index;
}

bool plan_rule_names_module(const struct family *family, const struct tp_rule *rule,
                            const struct parameter_row *row)
{
    char name[160], planned[176];
    snprintf(name, sizeof name, row->planned ? row->planned : row->name, 0);
    return tp_plan_names_module(rule->pattern, name) ||
           (spell_as_planned(family, name, planned, sizeof planned) &&
            tp_plan_names_module(rule->pattern, planned));
}
