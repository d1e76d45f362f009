// One rendering of a chat template: its memory, its budget, and what values can do.
#ifndef COLROW_TEXT_JINJA_RUN_H
#define COLROW_TEXT_JINJA_RUN_H

#include "base/memory.h"
#include "text/jinja_value.h"

// A template is input: each of these is an error with the line where it was met.
enum {
#ifdef COLROW_FUZZING // so that a template without end does not take a fuzzer's second
    JINJA_STEPS_MAX = 10 * 1000,
#else
    JINJA_STEPS_MAX = 5 * 1000 * 1000, // statements, operators and items gone through
#endif
    JINJA_EVAL_DEPTH_MAX = 600,                // expressions and calls inside one another
    JINJA_VALUE_DEPTH_MAX = 200,               // lists and dicts inside one another, when gone into
    JINJA_OUTPUT_BYTES_MAX = 64 * 1024 * 1024, // with what is being captured
    JINJA_MEMORY_BYTES_MAX = 256 * 1024 * 1024, // of all values
    JINJA_RANGE_MAX = 100000,                   // Jinja2's sandbox allows as many
};
#ifdef COLROW_FUZZING
#define JINJA_TOUCHED_BYTES_MAX ((uint64_t)1 << 20)
#else
#define JINJA_TOUCHED_BYTES_MAX ((uint64_t)1 << 30) // copied, compared, searched
#endif

struct jinja_activation { // the variables of a template, macro or recursive loop while it runs
    struct jinja_activation *outer;
    struct jinja_value slots[];
};

struct jinja_run {
    const char *name; // of the template, for messages
    int line;         // the one being rendered
    int64_t now;      // what strftime_now() tells, seconds since 1970; INT64_MIN: the clock
    struct arena arena;
    uint64_t steps, touched;
    int depth;                              // of evaluation
    int value_depth;                        // of the value being compared, printed, ...
    struct jinja_dict *variables, *exports; // given by the caller; set at the top for blocks
    struct jinja_activation *activation;
    enum { JINJA_GO_ON, JINJA_BREAKS, JINJA_CONTINUES } jump;
    struct bytes out;
};

void jinja_run_init(struct jinja_run *run, const char *name);
void jinja_run_fini(struct jinja_run *run);

// ---- jinja_run.c: budget and memory ----

// Records "NAME: line N: <sentence>".
enum status jinja_fail(const struct jinja_run *run, const char *format, ...) STATUS_PRINTF(2, 3);
enum status jinja_unsupported(const struct jinja_run *run, const char *format, ...)
    STATUS_PRINTF(2, 3);
// Says that an undefined value was used.
enum status jinja_undefined_used(const struct jinja_run *run, struct jinja_value value);
enum status jinja_step(struct jinja_run *run, uint64_t steps) STATUS_MUST_USE;
enum status jinja_touch(struct jinja_run *run, size_t bytes) STATUS_MUST_USE;
enum status jinja_take(struct jinja_run *run, size_t count, size_t item_bytes,
                       void *out) STATUS_MUST_USE;
// One level deeper into a value; leave with run->value_depth--.
enum status jinja_go_into(struct jinja_run *run) STATUS_MUST_USE;
// Output up to the limit.
enum status jinja_write(struct jinja_run *run, const char *text, size_t length) STATUS_MUST_USE;
enum status jinja_writef(struct jinja_run *run, const char *format, ...)
    STATUS_PRINTF(2, 3) STATUS_MUST_USE;
// Moves what was written since `begin` (a former run->out.length) into a text.
enum status jinja_take_output(struct jinja_run *run, size_t begin,
                              struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_copy(struct jinja_run *run, const char *text, size_t length,
                       struct jinja_value *out) STATUS_MUST_USE;

// ---- jinja_containers.c ----

// `capacity` items; fill `items` and count in `n` before anybody else sees the value.
enum status jinja_list_new(struct jinja_run *run, enum jinja_type type, size_t capacity,
                           struct jinja_list **list, struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_pair(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                       struct jinja_value *out) STATUS_MUST_USE; // a tuple
// A list that grows while it is made.
struct jinja_builder {
    struct jinja_value *items;
    size_t n, capacity;
};
enum status jinja_push(struct jinja_run *run, struct jinja_builder *builder,
                       struct jinja_value item) STATUS_MUST_USE;
enum status jinja_built(struct jinja_run *run, enum jinja_type type,
                        const struct jinja_builder *builder,
                        struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_dict_new(struct jinja_run *run, struct jinja_dict **out) STATUS_MUST_USE;
enum status jinja_dict_set(struct jinja_run *run, struct jinja_dict *dict, struct jinja_value key,
                           struct jinja_value value) STATUS_MUST_USE;
// `*out` is NULL when the key is not there; an error for keys that Python cannot hash.
enum status jinja_dict_get(struct jinja_run *run, const struct jinja_dict *dict,
                           struct jinja_value key, const struct jinja_value **out) STATUS_MUST_USE;
static inline struct jinja_value jinja_of_dict(struct jinja_dict *dict)
{
    return (struct jinja_value){.type = JINJA_DICT, .dict = dict};
}

// ---- jinja_compare.c ----

const char *jinja_type_name(struct jinja_value value); // as Python names it
bool jinja_true(struct jinja_value value);
enum status jinja_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                        bool *out) STATUS_MUST_USE;
// Negative, zero or positive; an error for values that Python does not order. NaN: *out is 2.
enum status jinja_order(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                        int *out) STATUS_MUST_USE;
enum status jinja_hash(struct jinja_run *run, struct jinja_value value,
                       uint64_t *out) STATUS_MUST_USE;
bool jinja_hashable(struct jinja_value value);
bool jinja_same(struct jinja_value a, struct jinja_value b); // Python's `is`
// `item` in `container`.
enum status jinja_contains(struct jinja_run *run, struct jinja_value container,
                           struct jinja_value item, bool *out) STATUS_MUST_USE;
// Stable, by keys[i]; sorts `items` along.
enum status jinja_sort(struct jinja_run *run, struct jinja_value *keys, struct jinja_value *items,
                       size_t n, bool reverse) STATUS_MUST_USE;

// ---- jinja_show.c ----

// str(value): a text stays what it is.
enum status jinja_str(struct jinja_run *run, struct jinja_value value,
                      struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_repr(struct jinja_run *run, struct jinja_value value,
                       struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_print(struct jinja_run *run, struct jinja_value value) STATUS_MUST_USE;
enum status jinja_write_repr(struct jinja_run *run, struct jinja_value value) STATUS_MUST_USE;
enum { JINJA_FLOAT_BYTES_MAX = 40 };
int jinja_float_text(double value, char out[JINJA_FLOAT_BYTES_MAX]); // Python's repr; its length

// ---- jinja_json.c ----

struct jinja_json_style {
    bool ensure_ascii, sort_keys, indents;
    struct jinja_value indent, item_separator, key_separator; // texts
};
enum status jinja_write_json(struct jinja_run *run, struct jinja_value value,
                             const struct jinja_json_style *style) STATUS_MUST_USE;

// ---- jinja_text.c: characters, not bytes ----

// A copy would outlive the text no better: the result points into `text`.
size_t jinja_text_chars(struct jinja_value text);
struct jinja_value jinja_text_slice(struct jinja_value text, size_t begin, size_t end);
size_t jinja_text_offset(struct jinja_value text, size_t chars); // in bytes
enum status jinja_join_two(struct jinja_run *run, struct jinja_value left, struct jinja_value right,
                           struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_repeat(struct jinja_run *run, struct jinja_value text, int64_t times,
                         struct jinja_value *out) STATUS_MUST_USE;
// Appends with &, <, >, ' and " replaced.
enum status jinja_write_escaped(struct jinja_run *run, struct jinja_value text) STATUS_MUST_USE;
// Markup of any value, escaped unless it is Markup already.
enum status jinja_escape(struct jinja_run *run, struct jinja_value value,
                         struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_split(struct jinja_run *run, struct jinja_value text,
                        struct jinja_value separator, int64_t most, bool from_right,
                        struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_splitlines(struct jinja_run *run, struct jinja_value text, bool keep_ends,
                             struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_replace(struct jinja_run *run, struct jinja_value text, struct jinja_value old,
                          struct jinja_value with, int64_t most,
                          struct jinja_value *out) STATUS_MUST_USE;
struct jinja_value jinja_strip(struct jinja_value text, struct jinja_value chars, bool left,
                               bool right); // chars: a text, or none for white space

// ---- jinja_number.c ----

enum jinja_arithmetic {
    JINJA_ADD,
    JINJA_SUBTRACT,
    JINJA_MULTIPLY,
    JINJA_DIVIDE,
    JINJA_FLOOR_DIVIDE,
    JINJA_MODULO,
    JINJA_POWER,
};
enum status jinja_arithmetic(struct jinja_run *run, enum jinja_arithmetic operator,
                             struct jinja_value a, struct jinja_value b,
                             struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_negate(struct jinja_run *run, struct jinja_value value, bool minus,
                         struct jinja_value *out) STATUS_MUST_USE;
// int(text, base) and float(text); `*valid` is false where Python raises ValueError.
enum status jinja_parse_int(struct jinja_run *run, struct jinja_value text, int64_t base,
                            bool *valid, int64_t *out) STATUS_MUST_USE;
bool jinja_parse_float(struct jinja_value text, double *out);
enum status jinja_round(struct jinja_run *run, struct jinja_value value, int64_t digits,
                        struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_float_to_int(struct jinja_run *run, double value,
                               struct jinja_value *out) STATUS_MUST_USE; // towards zero

// ---- jinja_format.c, jinja_format_spec.c ----

// text % value
enum status jinja_percent(struct jinja_run *run, struct jinja_value text, struct jinja_value value,
                          struct jinja_value *out) STATUS_MUST_USE;
// format(value, spec), written
enum status jinja_write_formatted(struct jinja_run *run, struct jinja_value value,
                                  struct jinja_value spec) STATUS_MUST_USE;
struct jinja_arguments;
// text.format(arguments)
enum status jinja_brace_format(struct jinja_run *run, struct jinja_value text,
                               const struct jinja_arguments *arguments,
                               struct jinja_value *out) STATUS_MUST_USE;

// ---- jinja_iterate.c ----

enum status jinja_iterate(struct jinja_run *run, struct jinja_value value,
                          struct jinja_iterator **out) STATUS_MUST_USE;
bool jinja_is_iterable(struct jinja_value value);
// `*more` is false at the end.
enum status jinja_next(struct jinja_run *run, struct jinja_iterator *iterator,
                       struct jinja_value *out, bool *more) STATUS_MUST_USE;
enum status jinja_to_list(struct jinja_run *run, struct jinja_value value, enum jinja_type type,
                          struct jinja_value *out) STATUS_MUST_USE;
// len(value); false when Python has none.
bool jinja_length(struct jinja_value value, size_t *out);

// ---- jinja_attribute.c ----

// object.name, object[key] with Jinja2's rules: method, else item; item, else method.
enum status jinja_get_attribute(struct jinja_run *run, struct jinja_value object,
                                struct jinja_value name, struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_get_item(struct jinja_run *run, struct jinja_value object, struct jinja_value key,
                           struct jinja_value *out) STATUS_MUST_USE;
// object[begin:end:step]; none where a bound is not given.
enum status jinja_slice(struct jinja_run *run, struct jinja_value object, struct jinja_value begin,
                        struct jinja_value end, struct jinja_value step,
                        struct jinja_value *out) STATUS_MUST_USE;

// ---- jinja_call.c ----

struct jinja_arguments {
    size_t n, n_named;
    struct jinja_value *values;        // [n]
    struct jinja_value *names, *named; // [n_named]
};
enum { JINJA_PARAMETERS_MAX = 6 };
// What templates can call: filters, tests, methods and functions. `parameters` are names with
// commas between; the first `n_required` must be given. Those not given are JINJA_MISSING. A
// builtin with parameters NULL takes its arguments as they come.
struct jinja_builtin {
    const char *name, *parameters;
    int n_required;
    bool by_position; // names are not accepted, as of builtins written in C
    enum status (*call)(struct jinja_run *run, struct jinja_value value,
                        const struct jinja_value *arguments, struct jinja_value *out);
    enum status (*call_any)(struct jinja_run *run, struct jinja_value value,
                            const struct jinja_arguments *arguments, struct jinja_value *out);
};
// `value` is what is filtered, tested or whose method it is.
enum status jinja_call_builtin(struct jinja_run *run, const struct jinja_builtin *builtin,
                               struct jinja_value value, const struct jinja_arguments *arguments,
                               struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_call(struct jinja_run *run, struct jinja_value function,
                       const struct jinja_arguments *arguments,
                       struct jinja_value *out) STATUS_MUST_USE;
// The argument at `i` of those bound, or what stands for one not given.
static inline bool jinja_given(struct jinja_value value)
{
    return value.type != JINJA_MISSING;
}
// An argument that must be an integer or a text; `otherwise` when it is not given.
enum status jinja_int_argument(struct jinja_run *run, const char *of, struct jinja_value value,
                               int64_t otherwise, int64_t *out) STATUS_MUST_USE;
enum status jinja_text_argument(struct jinja_run *run, const char *of,
                                struct jinja_value value) STATUS_MUST_USE;

const struct jinja_builtin *jinja_find_filter(const char *name, size_t length);
const struct jinja_builtin *jinja_find_test(const char *name, size_t length);
const struct jinja_builtin *jinja_find_function(const char *name, size_t length);
const struct jinja_builtin *jinja_find_method(enum jinja_type type, const char *name,
                                              size_t length);

#endif
