// Which weights are quantised as they are loaded (docs/numerics.md section 14).
#include <stdio.h>
#include <string.h>

#include "model/plan.h"

static enum status bits_of_name(const char *what, const char *name, int *out)
{
    *out = strcmp(name, "int8") == 0 ? 8 : strcmp(name, "int4") == 0 ? 4 : 0;
    if (*out || strcmp(name, "none") == 0)
        return OK;
    return fail(ERR_USAGE, "%s is \"%.60s\"; expected int8, int4 or none", what, name);
}

enum status quantization_parse(const char *name, int group_size, const char *lm_head,
                               struct quantization *out)
{
    *out = (struct quantization){.group = group_size ? group_size : QUANTIZATION_GROUP_DEFAULT};
    TRY(bits_of_name("quantization", name ? name : "none", &out->bits));
    if (!out->bits && (lm_head || group_size))
        return fail(ERR_USAGE,
                    "quantization_%s says how weights are quantised, but quantization "
                    "is none; expected int8 or int4 with it",
                    lm_head ? "lm_head" : "group_size");
    if (out->group < QUANTIZATION_GROUP_UNIT || out->group > QUANTIZATION_GROUP_MAX ||
        out->group % QUANTIZATION_GROUP_UNIT != 0)
        return fail(ERR_USAGE,
                    "quantization_group_size is %d; expected a multiple of %d, at most %d",
                    out->group, QUANTIZATION_GROUP_UNIT, QUANTIZATION_GROUP_MAX);
    out->lm_head_bits = out->bits ? 8 : 0;
    if (lm_head && strcmp(lm_head, "auto") != 0)
        TRY(bits_of_name("quantization_lm_head", lm_head, &out->lm_head_bits));
    return OK;
}

void quantization_show(const struct quantization *q, char *out, size_t room)
{
    if (q->bits == 0)
        snprintf(out, room, "none");
    else if (q->lm_head_bits == 0)
        snprintf(out, room, "int%d-g%d", q->bits, q->group);
    else
        snprintf(out, room, "int%d-g%d-lm_head-int%d", q->bits, q->group, q->lm_head_bits);
}

// What products of tensor parallelism multiply, and numbers as they are in the checkpoint, row by
// row: what lies otherwise keeps its type. Latent attention has kv_b_proj both as it is and turned.
static bool may_be_quantised(const struct plan_parameter *p)
{
    const enum slot slot = p->slots[0];
    if (p->is_vector || p->is_bias || p->transposed)
        return false;
    if ((p->n_experts && p->n_heads) || slot == SLOT_LATENT_UP || slot_is_taps(slot))
        return false;
    return slots[slot].role == ROLE_OUTPUTS || slots[slot].role == ROLE_INPUTS;
}

int plan_quantised_bits(const struct plan *plan, const struct plan_parameter *p)
{
    if (plan->quantization.bits == 0 || !may_be_quantised(p))
        return 0;
    return p->slots[0] == SLOT_LM_HEAD ? plan->quantization.lm_head_bits : plan->quantization.bits;
}

double plan_weight_bytes(const struct plan *plan, const struct plan_parameter *p)
{
    const int bits = plan_quantised_bits(plan, p);
    if (p->is_vector || p->is_bias) // in memory they are f32, whatever is computed in
        return sizeof(float);
    return bits ? bits / 8. + sizeof(bf16) / (double)plan->quantization.group
                : (double)compute_bytes(plan->compute);
}
