#include "server/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double iteration[] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
static const double of_n[] = {1, 2, 5, 10, 20};
static const double first_token[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                     0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                     20,    40,    80,   160,  640,  2560};
static const double token[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                               0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
static const double whole_request[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                       30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
static const double preemptions[] = {1, 2, 3, 4, 5, 10, 20};

// The finite upper bounds; their number is the result.
static int bounds_of(const struct metrics *metrics, enum metric_buckets buckets,
                     double out[METRIC_BUCKETS_MAX])
{
    static const struct {
        const double *bounds;
        size_t n;
    } fixed[] = {
        [BUCKETS_ITERATION] = {iteration, sizeof iteration / sizeof *iteration},
        [BUCKETS_N] = {of_n, sizeof of_n / sizeof *of_n},
        [BUCKETS_FIRST_TOKEN] = {first_token, sizeof first_token / sizeof *first_token},
        [BUCKETS_TOKEN] = {token, sizeof token / sizeof *token},
        [BUCKETS_REQUEST] = {whole_request, sizeof whole_request / sizeof *whole_request},
        [BUCKETS_PREEMPTIONS] = {preemptions, sizeof preemptions / sizeof *preemptions},
    };
    int n = 0;
    if (buckets != BUCKETS_LENGTH) {
        assert(fixed[buckets].bounds);
        n = (int)fixed[buckets].n;
        memcpy(out, fixed[buckets].bounds, fixed[buckets].n * sizeof *out);
        return n;
    }
    for (double decade = 1; n + 3 < METRIC_BUCKETS_MAX; decade *= 10)
        for (int i = 0; i < 3; i++) {
            double bound = decade * (i == 0 ? 1 : i == 1 ? 2 : 5);
            if (bound > (double)metrics->max_model_len)
                return n;
            out[n++] = bound;
        }
    return n;
}

static enum status escape_label(const char *text, char **out)
{
    struct bytes bytes;
    bytes_init(&bytes);
    enum status status = bytes_append(&bytes, "", 0);
    for (; status == OK && *text; text++) {
        if (*text == '\n')
            status = bytes_text(&bytes, "\\n");
        else if (*text == '"' || *text == '\\')
            status = bytes_format(&bytes, "\\%c", *text);
        else
            status = bytes_append(&bytes, text, 1);
    }
    if (status != OK) {
        bytes_fini(&bytes);
        return status;
    }
    *out = bytes.data;
    return OK;
}

enum status metrics_init(struct metrics *metrics, const char *model, int64_t max_model_len)
{
    *metrics = (struct metrics){.max_model_len = max_model_len};
    metric_set(metrics, METRIC_ENGINE_SLEEP_STATE, 0, 1); // it never sleeps
    return escape_label(model, &metrics->model);
}

void metrics_fini(struct metrics *metrics)
{
    free(metrics->model);
    metrics->model = NULL;
}

void metric_set(struct metrics *metrics, enum metric metric, int label, double value)
{
    assert(label >= 0 && label < METRIC_VALUES_MAX);
    metrics->values[metric][label] = value;
}

void metric_add(struct metrics *metrics, enum metric metric, int label, double value)
{
    assert(label >= 0 && label < METRIC_VALUES_MAX);
    metrics->values[metric][label] += value;
}

void metric_observe(struct metrics *metrics, enum metric metric, double value)
{
    double bounds[METRIC_BUCKETS_MAX];
    struct metric_histogram *histogram = &metrics->histograms[metric];
    assert(metric_families[metric].type == METRIC_HISTOGRAM);
    int n = bounds_of(metrics, metric_families[metric].buckets, bounds), i = 0;
    while (i < n && value > bounds[i])
        i++;
    histogram->counts[i]++;
    histogram->sum += value;
}

static const char *type_name(enum metric_type type)
{
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        break;
    }
    return "histogram";
}

enum status metrics_write_head(struct bytes *out, const char *name, const char *type,
                               const char *help)
{
    return bytes_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static enum status write_value(struct bytes *out, double value)
{
    if (isnan(value))
        return bytes_text(out, " NaN\n");
    if (isinf(value))
        return bytes_text(out, value > 0 ? " +Inf\n" : " -Inf\n");
    if (value == floor(value) && fabs(value) < 1e15)
        return bytes_format(out, " %.1f\n", value);
    return bytes_format(out, " %.17g\n", value);
}

enum status metrics_write_sample(struct bytes *out, const char *name, const char *labels,
                                 double value)
{
    TRY(bytes_format(out, "%s{%s}", name, labels));
    return write_value(out, value);
}

// The bound as Python shows a float.
static void show_bound(double bound, char out[32])
{
    if (bound == floor(bound))
        snprintf(out, 32, "%.1f", bound);
    else
        snprintf(out, 32, "%g", bound);
}

static enum status write_histogram(const struct metrics *metrics, enum metric metric,
                                   struct bytes *out)
{
    const struct metric_family *family = &metric_families[metric];
    const struct metric_histogram *histogram = &metrics->histograms[metric];
    double bounds[METRIC_BUCKETS_MAX];
    int n = bounds_of(metrics, family->buckets, bounds);
    uint64_t so_far = 0;
    for (int i = 0; i <= n; i++) {
        char bound[32] = "+Inf";
        if (i < n)
            show_bound(bounds[i], bound);
        so_far += histogram->counts[i];
        TRY(bytes_format(out, "%s_bucket{engine=\"0\",le=\"%s\",model_name=\"%s\"}", family->name,
                         bound, metrics->model));
        TRY(write_value(out, (double)so_far));
    }
    TRY(bytes_format(out, "%s_count{engine=\"0\",model_name=\"%s\"}", family->name,
                     metrics->model));
    TRY(write_value(out, (double)so_far));
    TRY(bytes_format(out, "%s_sum{engine=\"0\",model_name=\"%s\"}", family->name, metrics->model));
    return write_value(out, histogram->sum);
}

static enum status write_family(const struct metrics *metrics, enum metric metric,
                                struct bytes *out)
{
    const struct metric_family *family = &metric_families[metric];
    TRY(metrics_write_head(out, family->name, type_name(family->type), family->help));
    if (family->type == METRIC_HISTOGRAM)
        return write_histogram(metrics, metric, out);
    for (int i = 0; i < METRIC_VALUES_MAX && (i == 0 || family->label_values[i]); i++) {
        TRY(bytes_format(out, "%s{%smodel_name=\"%s\"", family->name,
                         family->no_engine ? "" : "engine=\"0\",", metrics->model));
        if (family->label)
            TRY(bytes_format(out, ",%s=\"%s\"", family->label, family->label_values[i]));
        TRY(bytes_text(out, "}"));
        TRY(write_value(out, metrics->values[metric][i]));
    }
    return OK;
}

enum status metrics_write(const struct metrics *metrics, struct bytes *out)
{
    for (int i = 0; i < N_METRICS; i++)
        TRY(write_family(metrics, (enum metric)i, out));
    return OK;
}
