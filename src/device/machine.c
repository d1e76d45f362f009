#include "device/machine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/name_list.h"

struct figure_row {
    const char *section, *key;
    size_t at; // of the figure in struct machine
    double least, most;
    bool required; // of the section: a link that is there has a latency and a bandwidth
};

#define FIGURE(section, key, field, ...)                                                           \
    {                                                                                              \
        section, key, offsetof(struct machine, field), __VA_ARGS__                                 \
    }
#define BYTES 1.0, 1e18
#define RATE 1.0, 1e21
#define SECONDS 0.0, 3600.0

static const struct figure_row rows[] = {
    FIGURE("device", "memory_bytes", memory_bytes, BYTES, true),
    FIGURE("device", "read_bytes_per_second", read_bytes_per_second, RATE, true),
    FIGURE("device", "bfloat16_flops_per_second", bfloat16_flops_per_second, RATE, true),
    FIGURE("device", "float16_flops_per_second", float16_flops_per_second, RATE, false),
    FIGURE("device", "float32_flops_per_second", float32_flops_per_second, RATE, false),
    FIGURE("node", "memory_bytes", node_memory_bytes, BYTES, false),
    FIGURE("node", "read_bytes_per_second", node_read_bytes_per_second, RATE, false),
    FIGURE("node", "flops_per_second", node_flops_per_second, RATE, false),
    FIGURE("link_in_node", "latency_seconds", in_node.latency_seconds, SECONDS, true),
    FIGURE("link_in_node", "bytes_per_second", in_node.bytes_per_second, RATE, true),
    FIGURE("link_in_node", "node_bytes_per_second", in_node.node_bytes_per_second, RATE, false),
    FIGURE("link_between_nodes", "latency_seconds", between_nodes.latency_seconds, SECONDS, true),
    FIGURE("link_between_nodes", "bytes_per_second", between_nodes.bytes_per_second, RATE, true),
    FIGURE("link_between_nodes", "node_bytes_per_second", between_nodes.node_bytes_per_second, RATE,
           false),
    FIGURE("overhead", "step_seconds", step_seconds, SECONDS, false),
    FIGURE("overhead", "sublayer_seconds", sublayer_seconds, SECONDS, false),
    FIGURE("overhead", "exchange_seconds", exchange_seconds, SECONDS, false),
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

const struct figure *machine_figure(const struct machine *machine, int number, const char **section,
                                    const char **key)
{
    if (number < 0 || number >= N_ROWS)
        return NULL;
    *section = rows[number].section;
    *key = rows[number].key;
    return (const struct figure *)((const char *)machine + rows[number].at);
}

static const struct figure_row *find_row(const char *section, const char *key)
{
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].key, key) == 0)
            return &rows[i];
    return NULL;
}

static bool is_section(const char *name)
{
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].section, name) == 0)
            return true;
    return false;
}

static enum status unknown_key(const char *where, const char *section, const char *key)
{
    char known[1024] = "";
    if (!section)
        name_list_add(known, sizeof known, "name");
    for (int i = 0; i < N_ROWS; i++) {
        bool begins = i == 0 || strcmp(rows[i].section, rows[i - 1].section) != 0;
        if (section ? strcmp(rows[i].section, section) == 0 : begins)
            name_list_add(known, sizeof known, section ? rows[i].key : rows[i].section);
    }
    return fail(ERR_INPUT, "%s: %s%s%s\"%.80s\" is no key of a machine; expected one of %s", where,
                section ? "\"" : "", section ? section : "", section ? "\": " : "", key, known);
}

static enum status read_source(const char *where, const struct figure_row *row,
                               const json_t *object, struct figure *out)
{
    const char *source = "", *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) if (
        strcmp(key, "value") != 0 &&
        strcmp(key, "source") !=
            0) return fail(ERR_INPUT,
                           "%s: \"%s\": \"%s\" has the key \"%.80s\"; expected \"value\" and "
                           "\"source\" alone",
                           where, row->section, row->key, key);
    TRY(json_get_text(object, where, "source", &source, &(bool){false}));
    if (strlen(source) >= sizeof out->source)
        return fail(ERR_INPUT,
                    "%s: \"%s\": the source of \"%s\" has %zu bytes; expected at most %d", where,
                    row->section, row->key, strlen(source), MACHINE_SOURCE_MAX - 1);
    snprintf(out->source, sizeof out->source, "%s", source);
    return OK;
}

static enum status read_figure(const char *where, const struct figure_row *row, const json_t *value,
                               struct figure *out)
{
    if (json_is_object(value)) {
        TRY(read_source(where, row, value, out));
        value = json_object_get(value, "value");
    }
    double number = value && json_is_number(value) ? json_number(value) : NAN;
    if (!(number >= row->least && number <= row->most))
        return fail(ERR_INPUT,
                    "%s: \"%s\": \"%s\" is %s; expected a number from %g to %g, or an object of "
                    "\"value\" and \"source\" with one",
                    where, row->section, row->key, value ? json_show(value) : "without a value",
                    row->least, row->most);
    out->value = number;
    return OK;
}

static enum status read_section(const char *where, const char *section, const json_t *object,
                                struct machine *out)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return fail(ERR_INPUT, "%s: \"%s\" is %s; expected an object of figures", where, section,
                    json_show(object));
    json_object_foreach((json_t *)object, key, value)
    {
        const struct figure_row *row = find_row(section, key);
        if (!row)
            return unknown_key(where, section, key);
        TRY(read_figure(where, row, value, (struct figure *)((char *)out + row->at)));
    }
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].required && strcmp(rows[i].section, section) == 0 &&
            !json_object_get(object, rows[i].key))
            return fail(ERR_INPUT, "%s: \"%s\" lacks \"%s\"; expected a number from %g to %g",
                        where, section, rows[i].key, rows[i].least, rows[i].most);
    return OK;
}

static enum status read_machine_name(const char *where, const json_t *root, struct machine *out)
{
    const char *name = NULL;
    TRY(json_get_text(root, where, "name", &name, NULL));
    if (strlen(name) >= sizeof out->name)
        return fail(ERR_INPUT, "%s: \"name\" has %zu bytes; expected at most %d", where,
                    strlen(name), MACHINE_NAME_MAX - 1);
    snprintf(out->name, sizeof out->name, "%s", name);
    return OK;
}

static enum status read_machine(const char *where, const json_t *root, struct machine *out)
{
    const char *key;
    json_t *value;
    if (!json_is_object(root))
        return fail(ERR_INPUT, "%s is %s; expected an object that describes a machine", where,
                    json_show(root));
    TRY(read_machine_name(where, root, out));
    json_object_foreach((json_t *)root, key, value)
    {
        if (strcmp(key, "name") == 0)
            continue;
        if (!is_section(key))
            return unknown_key(where, NULL, key);
        TRY(read_section(where, key, value, out));
    }
    if (!json_object_get(root, "device"))
        return fail(ERR_INPUT, "%s lacks \"device\"; expected what one rank's device can do",
                    where);
    return OK;
}

enum status machine_parse(const char *name, const char *text, size_t length, struct machine *out)
{
    json_t *root = NULL;
    *out = (struct machine){.name = ""};
    TRY(json_parse(name, text, length, &root));
    enum status status = read_machine(name, root, out);
    json_decref(root);
    return status;
}

enum status machine_read(const char *path, struct machine *out)
{
    json_t *root;
    *out = (struct machine){.name = ""};
    TRY(json_file_given(path, MACHINE_BYTES_MAX, &root));
    enum status status = read_machine(path, root, out);
    json_decref(root);
    return status;
}

static enum status read_links(const char *where, const json_t *root, struct machine *out)
{
    static const char *const links[] = {"link_in_node", "link_between_nodes"};
    bool found = false;
    for (int i = 0; i < 2; i++) {
        const json_t *section = json_is_object(root) ? json_object_get(root, links[i]) : NULL;
        if (section)
            TRY(read_section(where, links[i], section, out));
        found = found || section;
    }
    return found ? OK
                 : fail(ERR_INPUT,
                        "%s has neither \"link_in_node\" nor \"link_between_nodes\"; expected what "
                        "`colrow bench comm --json` prints with --nnodes or --nproc-per-node",
                        where);
}

enum status machine_read_links(const char *path, struct machine *out)
{
    json_t *root;
    TRY(json_file_given(path, MACHINE_BYTES_MAX, &root));
    enum status status = read_links(path, root, out);
    json_decref(root);
    return status;
}
