// `colrow plan --machine`: what a step of the plan would take.
#include "cmd/plan_command.h"

enum status predict_check(const struct plan_command *c)
{
    if (c->svg && !c->on.machine)
        return fail(ERR_USAGE,
                    "flag --svg: expected --machine FILE beside it, whose times are drawn");
    if (c->on.links && !c->on.machine)
        return fail(ERR_USAGE, "flag --comm-figures: expected --machine FILE, or auto, beside it");
    if (c->on.machine && c->tensor_parallel_size == 0)
        return fail(ERR_USAGE, "flag --machine: expected --tensor-parallel-size N beside it");
    if ((c->on.nodes || c->on.ranks_per_node) && c->tensor_parallel_size == 0)
        return fail(ERR_USAGE, "flag --nodes: expected --tensor-parallel-size N beside it, or "
                               "--pipeline-parallel-size N");
    if (c->explain && c->on.machine)
        return fail(ERR_USAGE, "--explain and --machine are both given; expected one");
    return OK;
}

enum status predict_plan(const struct plan_command *c, const struct plan *plan, json_t *root)
{
    const struct cost_work work = {c->concurrency, c->input_len, c->output_len, c->rows};
    const struct cost_model model = {plan, &c->machine, &c->nodes};
    struct shown_prediction shown = {0};
    enum status status;
    TRY_DONE(shown_prediction_make(&model, c->checkpoint, &work, c->model, &shown));
    if (root)
        json_object_set_new(root, "prediction", shown_prediction_json(&shown));
    else
        TRY_DONE(shown_prediction_print(&shown));
    if (c->svg)
        TRY_DONE(step_diagram_write(&shown, c->svg));
done:
    shown_prediction_fini(&shown);
    return status;
}

static void sum_prediction(const struct cost_prediction *p, int n_stages,
                           struct predicted_point *out)
{
    *out = (struct predicted_point){.prefill = p->prefill_tokens_per_second,
                                    .decode = p->decode_tokens_per_second};
    double rhythm = p->decode_period / p->decode_batch.n_under_way;
    for (int stage = 0; stage < n_stages; stage++) {
        const struct stage_cost *c = &p->decode[stage];
        out->compute += (c->work - c->waiting) / rhythm / n_stages;
        out->communicate += (c->exchange + c->hand_over) / rhythm / n_stages;
    }
    out->wait = 1 - out->compute - out->communicate;
}

enum status predict_point(struct plan_command *c, struct predicted_point *out)
{
    const struct cost_work work = {c->concurrency, c->input_len, c->output_len, c->rows};
    struct cost_prediction prediction = {0};
    struct plan *plan = NULL;
    enum status status;
    TRY_DONE(plan_command_compile(c, &plan));
    TRY_DONE(machine_flags_lay_out(&c->on, plan->n_ranks, plan->n_stages, &c->nodes));
    const struct cost_model model = {plan, &c->machine, &c->nodes};
    TRY_DONE(cost_predict(&model, &work, &prediction));
    sum_prediction(&prediction, plan->n_stages, out);
done:
    cost_prediction_fini(&prediction);
    plan_free(plan);
    return status;
}
