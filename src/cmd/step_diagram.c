// The steps of a prediction as an SVG file: a row for each rank (of large groups: for each stage),
// boxes for what it does over time, and one layer of it enlarged.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_writer.h"
#include "base/progress.h"
#include "cmd/plan_command.h"
#include "cmd/prediction.h"
#include "model/step_schedule.h"

enum {
    WIDTH = 1280,
    LEFT = 168,
    RIGHT = 28,
    PLOT = WIDTH - LEFT - RIGHT,
    ROWS_MAX = 64,      // more ranks than that: a row for each stage
    ZOOM_RANKS_MAX = 8, // rows of the enlarged layer
    PASSES_SHOWN_MAX = 3 * COMM_RANKS_MAX * COMM_RANKS_MAX,
    STRIPE_LEAST = 3, // pixels of a layer: several are drawn as one below that
};

struct hue {
    const char *fill, *text;
};
static const char products[] = "#3b76c4", attention[] = "#8d5fc2", exchange[] = "#e9973f",
                  hand_over[] = "#3f9e74", idle[] = "#eef1f5";
static const struct hue marks[] = {
    {"#b9c7dd", "#34496b"}, {"#e3c8a6", "#6b4a1e"}, {"#bfd8c6", "#2d5a3d"}, {"#dcc0d8", "#663a60"},
    {"#d8d3a8", "#59531c"}, {"#bcd6da", "#24535b"}, {"#e0bfbf", "#6d2f2f"}, {"#cfcfcf", "#444444"}};
enum { N_MARKS = sizeof marks / sizeof marks[0] };

struct diagram {
    const struct shown_prediction *shown;
    struct bytes text;
    enum status status; // sticky, as text_table's
    double y;           // of what comes next
    int panel;          // for names of definitions
};

static void draw(struct diagram *d, const char *format, ...) STATUS_PRINTF(2, 3);
static void draw(struct diagram *d, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (d->status == OK && n > 0)
        d->status =
            bytes_append(&d->text, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

// Text from outside, between tags.
static void draw_escaped(struct diagram *d, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '<' ? "&lt;" : *text == '&' ? "&amp;" : NULL;
        if (entity)
            draw(d, "%s", entity);
        else
            draw(d, "%c", (unsigned char)*text < ' ' ? ' ' : *text);
    }
}

static void draw_box(struct diagram *d, double x, double y, double width, double height,
                     const char *fill)
{
    if (width > 0)
        draw(d, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>\n", x, y,
             width, height, fill);
}

// ---- a time axis ----

struct axis {
    double seconds; // of the whole width
    double top, bottom;
};

static double axis_x(const struct axis *axis, double seconds)
{
    return LEFT + PLOT * seconds / axis->seconds;
}

static double nice_step(double span)
{
    double raw = span / 8, unit = pow(10, floor(log10(raw)));
    return raw <= unit ? unit : raw <= 2 * unit ? 2 * unit : raw <= 5 * unit ? 5 * unit : 10 * unit;
}

static void draw_grid(struct diagram *d, const struct axis *axis)
{
    double span = axis->seconds * 1e3, step = nice_step(span);
    for (int i = 0; i * step <= span * (1 + 1e-9); i++) {
        double x = axis_x(axis, i * step * 1e-3);
        draw(d,
             "<path d=\"M%.2f %.2fV%.2f\" stroke=\"#c9d0d9\" stroke-width=\"0.7\"/><text "
             "x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\" class=\"s\">%.6g</text>\n",
             x, axis->top, axis->bottom + 4, x, axis->bottom + 16, i * step);
    }
    draw(d, "<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\" class=\"s\">ms</text>\n", LEFT - 8,
         axis->bottom + 16);
}

// ---- what a stage does with one micro-batch, for each of its ranks ----

struct stripes {
    struct diagram *d;
    const struct micro_batch *batch;
    double scale;                    // pixels a second
    double height;                   // of a row
    double since[COMM_RANKS_MAX][2]; // products, attention since the exchange before
    double x;                        // pixels, where ranks met last
    int n_ranks, shown;              // the rank that is drawn
};

static void draw_met(struct stripes *s, double exchange_seconds)
{
    double most = 0, x = s->x;
    for (int r = 0; r < s->n_ranks; r++) {
        double own = s->since[r][0] + s->since[r][1];
        most = own > most ? own : most;
    }
    const double *own = s->since[s->shown];
    draw_box(s->d, x, 0, own[0] * s->scale, s->height, products);
    draw_box(s->d, x + own[0] * s->scale, 0, own[1] * s->scale, s->height, attention);
    x += (own[0] + own[1]) * s->scale;
    if (most - own[0] - own[1] > 1e-3 * most)
        draw_box(s->d, x, 0, (most - own[0] - own[1]) * s->scale, s->height, "url(#waits)");
    draw_box(s->d, s->x + most * s->scale, 0, exchange_seconds * s->scale, s->height, exchange);
    s->x += (most + exchange_seconds) * s->scale;
    memset(s->since, 0, sizeof s->since);
}

// One layer, or so many like it drawn as one.
static void draw_layer(struct stripes *s, int layer, int times)
{
    struct operation_cost ops[OPERATIONS_MAX];
    double waits[OPERATIONS_MAX] = {0};
    int n = 0;
    for (int r = 0; r < s->n_ranks; r++)
        n = cost_operations(&s->d->shown->model, s->batch, layer, r, ops);
    for (int i = 0; i < n; i++)
        waits[i] = ops[i].kind == OPERATION_EXCHANGE ? ops[i].seconds * times : -1;
    // ranks beside each other, exchange by exchange
    for (int from = 0; from < n;) {
        int to = from;
        while (to < n && waits[to] < 0)
            to++;
        for (int r = 0; r < s->n_ranks; r++) {
            cost_operations(&s->d->shown->model, s->batch, layer, r, ops);
            for (int i = from; i < to; i++)
                s->since[r][ops[i].kind == OPERATION_ATTENTION] += ops[i].seconds * times;
        }
        if (to < n)
            draw_met(s, waits[to]);
        from = to + 1;
    }
}

static void define_stage(struct diagram *d, const struct micro_batch *batch, int stage, int rank,
                         const struct axis *axis, double height)
{
    const struct plan *plan = d->shown->model.plan;
    const struct stage_cost *costs =
        batch == &d->shown->costs.decode_batch ? d->shown->costs.decode : d->shown->costs.prefill;
    struct range layers = plan_stage_layers(plan, stage);
    struct stripes s = {.d = d,
                        .batch = batch,
                        .scale = PLOT / axis->seconds,
                        .height = height,
                        .n_ranks = plan->n_ranks,
                        .shown = rank};
    double each = costs[stage].seconds * s.scale / (layers.end - layers.begin);
    int together = each >= STRIPE_LEAST ? 1 : (int)ceil(STRIPE_LEAST / fmax(each, 1e-3));
    draw(d, "<g id=\"p%d-%d-%d\">\n", d->panel, stage, rank);
    for (int layer = layers.begin; layer < layers.end;) {
        int times = 1, kind = plan->config.layer_kind[layer];
        while (times < together && layer + times < layers.end &&
               plan->config.layer_kind[layer + times] == kind)
            times++;
        draw_layer(&s, layer, times);
        layer += times;
    }
    if (stage == plan->n_stages - 1)
        draw_layer(&s, plan->config.num_hidden_layers, 1);
    draw_met(&s, 0);
    draw(d, "</g>\n");
}

// ---- the panel of all ranks ----

struct panel {
    const char *title;
    const struct micro_batch *batch;
    const struct stage_cost *stages;
    int n_batches; // drawn
    double period; // of decoding, 0: none to be shown
    struct axis axis;
    double row, gap; // heights
    int rows_of_stage;
    struct stage_pass passes[PASSES_SHOWN_MAX];
};

static double stage_top(const struct panel *p, int stage)
{
    return p->axis.top + stage * (p->rows_of_stage * p->row + p->gap) + p->gap - 2;
}

static void draw_stage_names(struct diagram *d, const struct panel *p, int stage)
{
    const struct cost_model *model = &d->shown->model;
    int n = model->plan->n_ranks, first = node_of_rank(model->nodes, stage * n),
        last = node_of_rank(model->nodes, stage * n + n - 1);
    double top = stage_top(p, stage), middle = top + p->rows_of_stage * p->row / 2;
    char layers[40], nodes[40];
    show_range(plan_stage_layers(model->plan, stage), layers, sizeof layers);
    show_range((struct range){first, last + 1}, nodes, sizeof nodes);
    draw(d,
         "<text x=\"14\" y=\"%.2f\" class=\"b\">Stage %d</text><text x=\"14\" y=\"%.2f\" "
         "class=\"s\">layers %s</text>\n<text x=\"14\" y=\"%.2f\" class=\"s\">node%s %s, "
         "TP=%d</text>\n",
         middle - 10, stage, middle + 4, layers, middle + 17, first == last ? "" : "s", nodes, n);
    for (int row = 0; row < p->rows_of_stage && p->rows_of_stage > 1; row++)
        draw(d,
             "<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\" style=\"font-size:%.0fpx\" "
             "fill=\"#667\">rank %d</text>\n",
             LEFT - 8, top + row * p->row + p->row * 0.8, fmin(p->row, 11), stage * n + row);
}

static void draw_pass(struct diagram *d, const struct panel *p, int batch, int stage)
{
    const struct plan *plan = d->shown->model.plan;
    const struct stage_pass *pass = &p->passes[batch * plan->n_stages + stage];
    const struct hue *mark = &marks[batch % p->batch->n_under_way % N_MARKS];
    double x = axis_x(&p->axis, pass->begin), top = stage_top(p, stage),
           end = axis_x(&p->axis, pass->end), over = axis_x(&p->axis, pass->handed_over);
    if (pass->begin >= p->axis.seconds)
        return;
    draw(d, "<g><title>step %d on stage %d: %.4f to %.4f ms, handed over %.4f ms</title>\n",
         batch + 1, stage, pass->begin * 1e3, pass->end * 1e3, pass->handed_over * 1e3);
    draw_box(d, x, top - 13, over - x, 12, mark->fill);
    if (over - x > 40)
        draw(d,
             "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\" class=\"t\" "
             "fill=\"%s\">step %d</text>\n",
             (x + over) / 2, top - 3.5, mark->text, batch + 1);
    int shown = 0;
    for (int row = 0; row < p->rows_of_stage; row++) {
        if (row && p->stages[stage].rank_work[row] != p->stages[stage].rank_work[shown])
            shown = row;
        draw(d, "<use href=\"#p%d-%d-%d\" x=\"%.2f\" y=\"%.2f\"/>\n", d->panel, stage, shown, x,
             top + row * p->row);
    }
    draw_box(d, end, top, over - end, p->rows_of_stage * p->row - 1, hand_over);
    draw(d, "</g>\n");
}

static void draw_period(struct diagram *d, const struct panel *p)
{
    const struct plan *plan = d->shown->model.plan;
    int last = plan->n_stages - 1, next = p->batch->n_under_way;
    double from = axis_x(&p->axis, p->passes[(next - 1) * plan->n_stages + last].end),
           to = from + PLOT * p->period / p->axis.seconds, y = p->axis.top - 9;
    draw(
        d,
        "<path d=\"M%.2f %.2fv8m0 -4H%.2fm0 -4v8\" stroke=\"#222\" fill=\"none\"/><text x=\"%.2f\" "
        "y=\"%.2f\" text-anchor=\"end\" class=\"b\">a token for every stream: %.3f ms</text>\n",
        from, y - 4, to, fmin(to, WIDTH - RIGHT), y - 9, p->period * 1e3);
}

static void draw_panel(struct diagram *d, struct panel *p)
{
    const struct plan *plan = d->shown->model.plan;
    int world = plan_world_size(plan);
    bool by_rank = world <= ROWS_MAX && plan->n_ranks > 1;
    p->rows_of_stage = by_rank ? plan->n_ranks : 1;
    p->row = !by_rank ? 44 : world <= 4 ? 24 : world <= 16 ? 15 : world <= 32 ? 11 : 9;
    while (p->rows_of_stage * p->row < 44) // the names of a stage have three lines
        p->row++;
    p->gap = 19;
    p->axis.top = d->y + (p->period > 0 ? 52 : 30);
    p->axis.bottom = p->axis.top + plan->n_stages * (p->rows_of_stage * p->row + p->gap);
    draw(d, "<text x=\"14\" y=\"%.2f\" class=\"h\">", d->y + 16);
    draw_escaped(d, p->title);
    draw(d,
         "</text>\n<defs><clipPath id=\"c%d\"><rect x=\"%d\" y=\"%.2f\" width=\"%d\" "
         "height=\"%.2f\"/></clipPath>\n",
         d->panel, LEFT, p->axis.top, PLOT, p->axis.bottom - p->axis.top);
    for (int stage = 0; stage < plan->n_stages; stage++) {
        int shown = -1;
        for (int row = 0; row < p->rows_of_stage; row++) {
            if (shown >= 0 && p->stages[stage].rank_work[row] == p->stages[stage].rank_work[shown])
                continue;
            define_stage(d, p->batch, stage, row, &p->axis, p->row - (p->row > 20 ? 2 : 1));
            shown = row;
        }
    }
    draw(d, "</defs>\n");
    for (int stage = 0; stage < plan->n_stages; stage++) {
        draw_stage_names(d, p, stage);
        for (int row = 0; row < p->rows_of_stage; row++)
            draw_box(d, LEFT, stage_top(p, stage) + row * p->row, PLOT,
                     p->row - (p->row > 20 ? 2 : 1), idle);
    }
    draw_grid(d, &p->axis);
    if (p->period > 0)
        draw_period(d, p);
    draw(d, "<g clip-path=\"url(#c%d)\">\n", d->panel);
    for (int batch = 0; batch < p->n_batches; batch++)
        for (int stage = 0; stage < plan->n_stages; stage++)
            draw_pass(d, p, batch, stage);
    draw(d, "</g>\n");
    d->y = p->axis.bottom + 30;
    d->panel++;
}

// ---- one layer, enlarged ----

// When all ranks have done the operations from number `from` on up to the next exchange.
static double met_after(const struct cost_model *model, const struct micro_batch *batch, int layer,
                        int from, double begin)
{
    struct operation_cost ops[OPERATIONS_MAX];
    double most = begin;
    for (int r = 0; r < model->plan->n_ranks; r++) {
        int n = cost_operations(model, batch, layer, r, ops);
        double x = begin;
        for (int i = from; i < n && ops[i].kind != OPERATION_EXCHANGE; i++)
            x += ops[i].seconds;
        most = fmax(most, x);
    }
    return most;
}

static double layer_seconds(const struct cost_model *model, const struct micro_batch *batch,
                            int layer)
{
    struct operation_cost ops[OPERATIONS_MAX];
    int n = cost_operations(model, batch, layer, 0, ops);
    double end = met_after(model, batch, layer, 0, 0);
    for (int i = 0; i < n; i++)
        if (ops[i].kind == OPERATION_EXCHANGE)
            end = met_after(model, batch, layer, i + 1, end + ops[i].seconds);
    return end;
}

static void draw_operation(struct diagram *d, const struct axis *axis,
                           const struct operation_cost *op, double begin, double y, double height)
{
    static const char *const fills[] = {products, attention, exchange};
    double x = axis_x(axis, begin), width = axis_x(axis, begin + op->seconds) - x;
    const char *bound = op->kind == OPERATION_EXCHANGE         ? "exchange"
                        : op->read_seconds >= op->flop_seconds ? "reading"
                                                               : "arithmetic";
    draw(d, "<g><title>%s: %.5f ms (%s, %s)</title>\n", op->name, op->seconds * 1e3, bound,
         show_bytes(op->bytes));
    draw_box(d, x, y, fmax(width - 0.6, 0.4), height, fills[op->kind]);
    if (width > 6.4 * (double)strlen(op->name) + 4)
        draw(d,
             "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\" class=\"t\" "
             "fill=\"#fff\">%s</text>\n",
             x + width / 2, y + height / 2 + 3.5, op->name);
    draw(d, "</g>\n");
}

static void draw_rank_of_layer(struct diagram *d, const struct axis *axis,
                               const struct micro_batch *batch, int layer, int rank, double y,
                               double height)
{
    const struct cost_model *model = &d->shown->model;
    struct operation_cost ops[OPERATIONS_MAX];
    double begin = 0;
    int n = cost_operations(model, batch, layer, rank, ops);
    for (int i = 0, from = 0; i <= n; i++) {
        if (i < n && ops[i].kind != OPERATION_EXCHANGE) {
            draw_operation(d, axis, &ops[i], begin, y, height);
            begin += ops[i].seconds;
            continue;
        }
        double met = begin;
        for (int k = from; k < i; k++)
            met -= ops[k].seconds;
        met = met_after(model, batch, layer, from, met);
        draw_box(d, axis_x(axis, begin), y, axis_x(axis, met) - axis_x(axis, begin), height,
                 "url(#waits)");
        if (i < n)
            draw_operation(d, axis, &ops[i], met, y, height);
        begin = met + (i < n ? ops[i].seconds : 0);
        from = i + 1;
    }
}

static void draw_zoom(struct diagram *d, const struct micro_batch *batch)
{
    const struct plan *plan = d->shown->model.plan;
    struct range layers = plan_stage_layers(plan, 0);
    int layer = (layers.begin + layers.end) / 2;
    int rows = plan->n_ranks < ZOOM_RANKS_MAX ? plan->n_ranks : ZOOM_RANKS_MAX;
    double row = rows <= 4 ? 24 : 18;
    struct axis axis = {.seconds = layer_seconds(&d->shown->model, batch, layer), .top = d->y + 26};
    axis.bottom = axis.top + rows * row + 4;
    draw(d,
         "<text x=\"14\" y=\"%.2f\" class=\"b\">One layer of it</text><text x=\"%d\" y=\"%.2f\" "
         "class=\"s\">layer %d of stage 0, %.4f ms%s</text>\n",
         d->y + 16, LEFT, d->y + 16, layer, axis.seconds * 1e3,
         rows < plan->n_ranks ? "; the first 8 ranks" : "");
    draw_grid(d, &axis);
    for (int r = 0; r < rows; r++) {
        draw(d, "<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\" class=\"s\">rank %d</text>\n",
             LEFT - 8, axis.top + r * row + row / 2 + 4, r);
        draw_rank_of_layer(d, &axis, batch, layer, r, axis.top + r * row, row - 2);
    }
    d->y = axis.bottom + 36;
}

// ---- the whole ----

static void draw_legend(struct diagram *d)
{
    static const struct {
        const char *fill, *name;
    } items[] = {{products, "matrix products"},
                 {attention, "attention"},
                 {"url(#waits)", "waiting for a slower rank"},
                 {exchange, "all-reduce and other exchanges"},
                 {hand_over, "hand-over to the next stage"},
                 {idle, "idle (bubble)"}};
    double x = 14;
    for (int i = 0; i < (int)(sizeof items / sizeof items[0]); i++) {
        draw(d,
             "<rect x=\"%.1f\" y=\"%.1f\" width=\"16\" height=\"12\" fill=\"%s\" "
             "stroke=\"#99a\" stroke-width=\"0.5\"/><text x=\"%.1f\" y=\"%.1f\">%s</text>\n",
             x, d->y, items[i].fill, x + 22, d->y + 10.5, items[i].name);
        x += 22 + 6.6 * (double)strlen(items[i].name) + 26;
    }
    d->y += 34;
}

static void draw_heading(struct diagram *d)
{
    const struct shown_prediction *s = d->shown;
    const char *slash = strrchr(s->name, '/'), *name = slash && slash[1] ? slash + 1 : s->name;
    draw(d, "<text x=\"14\" y=\"30\" style=\"font-size:19px;font-weight:600\">");
    draw_escaped(d, name);
    draw(d, ": TP %d × PP %d on %d node%s</text>\n", s->model.plan->n_ranks,
         s->model.plan->n_stages, s->model.nodes->n_nodes, s->model.nodes->n_nodes == 1 ? "" : "s");
    draw(d, "<text x=\"14\" y=\"52\">predicted for ");
    draw_escaped(d, s->model.machine->name);
    draw(d, "; %d stream%s of %d + %d tokens; a simulation, nothing was run</text>\n",
         s->work.concurrency, s->work.concurrency == 1 ? "" : "s", s->work.input_len,
         s->work.output_len);
    d->y = 68;
    draw_legend(d);
}

static void draw_decode(struct diagram *d, struct panel *p)
{
    const struct cost_prediction *c = &d->shown->costs;
    int n_stages = d->shown->model.plan->n_stages, n = c->decode_batch.n_under_way;
    char title[160];
    snprintf(title, sizeof title,
             "Decode: %d step%s under way, each a token of %d stream%s · %.1f tok/s a stream, %.1f "
             "in all",
             n, n == 1 ? "" : "s", c->decode_batch.n_sequences,
             c->decode_batch.n_sequences == 1 ? "" : "s", c->stream_tokens_per_second,
             c->decode_tokens_per_second);
    *p = (struct panel){.title = title,
                        .batch = &c->decode_batch,
                        .stages = c->decode,
                        .period = c->decode_period,
                        .n_batches = 3 * n};
    schedule_passes(p->stages, n_stages, c->turnaround, n, p->n_batches, p->passes);
    int last = 2 * n - 1;
    p->axis.seconds = p->passes[last * n_stages + n_stages - 1].handed_over * 1.02;
    draw_panel(d, p);
    draw_zoom(d, &c->decode_batch);
}

static void draw_prefill(struct diagram *d, struct panel *p)
{
    const struct cost_prediction *c = &d->shown->costs;
    int n_stages = d->shown->model.plan->n_stages, most = 2 * n_stages + 2;
    char title[160];
    snprintf(
        title, sizeof title,
        "Prefill: steps of %d tokens, %d for a prompt · first token of one alone after %.1f ms, "
        "%.0f tok/s in all",
        c->prefill_batch.n_sequences * c->prefill_batch.tokens_each, c->n_chunks,
        c->first_token_seconds * 1e3, c->prefill_tokens_per_second);
    *p = (struct panel){.title = title,
                        .batch = &c->prefill_batch,
                        .stages = c->prefill,
                        .n_batches = c->n_prefill_passes < most ? (int)c->n_prefill_passes : most};
    schedule_passes(p->stages, n_stages, c->turnaround, c->prefill_batch.n_under_way, p->n_batches,
                    p->passes);
    p->axis.seconds = p->passes[p->n_batches * n_stages - 1].handed_over * 1.02;
    draw_panel(d, p);
    draw_zoom(d, &c->prefill_batch);
}

enum status step_diagram_write(const struct shown_prediction *shown, const char *path)
{
    struct diagram d = {.shown = shown, .status = OK};
    struct panel *panel;
    struct file_writer writer;
    char head[640];
    TRY(memory_new(1, sizeof *panel, "a diagram", &panel));
    bytes_init(&d.text);
    draw_heading(&d);
    draw_decode(&d, panel);
    draw_prefill(&d, panel);
    draw(&d, "</svg>\n");
    free(panel);
    int n = snprintf(
        head, sizeof head,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d "
        "%.0f\" font-family=\"'Source Sans 3','Segoe UI',Helvetica,Arial,sans-serif\" "
        "font-size=\"13\" fill=\"#1c2430\">\n<style>.s{font-size:11px;fill:#566}.t{font-size:10px}"
        ".b{font-weight:600}.h{font-size:15px;font-weight:600}</style>\n<defs><pattern "
        "id=\"waits\" "
        "width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
        "<rect width=\"5\" height=\"5\" fill=\"#dde2ea\"/><rect width=\"2\" height=\"5\" "
        "fill=\"#aab4c3\"/></pattern></defs>\n<rect width=\"%d\" height=\"%.0f\" fill=\"#fff\"/>\n",
        WIDTH, d.y, WIDTH, d.y, WIDTH, d.y);
    enum status status = d.status;
    if (status == OK)
        status = file_writer_open(path, &writer);
    if (status == OK) {
        status = file_writer_write(&writer, head, (size_t)n);
        if (status == OK)
            status = file_writer_write(&writer, d.text.data, d.text.length);
        if (status == OK)
            status = file_writer_finish(&writer);
        file_writer_abandon(&writer);
    }
    bytes_fini(&d.text);
    return status;
}
