// Budget and memory of a rendering.
#include "text/jinja_run.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/checked.h"

void jinja_run_init(struct jinja_run *run, const char *name)
{
    assert(run && name);
    *run = (struct jinja_run){.name = name, .line = 1, .now = INT64_MIN};
    arena_init(&run->arena);
    bytes_init(&run->out);
}

void jinja_run_fini(struct jinja_run *run)
{
    arena_fini(&run->arena);
    bytes_fini(&run->out);
    *run = (struct jinja_run){0};
}

static enum status fail_at(const struct jinja_run *run, enum status code, const char *format,
                           va_list arguments) __attribute__((format(printf, 3, 0)));
static enum status fail_at(const struct jinja_run *run, enum status code, const char *format,
                           va_list arguments)
{
    char sentence[STATUS_MESSAGE_MAX];
    vsnprintf(sentence, sizeof sentence, format, arguments);
    return fail(code, "%s: line %d: %s", run->name, run->line, sentence);
}

enum status jinja_fail(const struct jinja_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    enum status status = fail_at(run, ERR_INPUT, format, arguments);
    va_end(arguments);
    return status;
}

enum status jinja_unsupported(const struct jinja_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    enum status status = fail_at(run, ERR_UNSUPPORTED, format, arguments);
    va_end(arguments);
    return status;
}

enum status jinja_undefined_used(const struct jinja_run *run, struct jinja_value value)
{
    int n = value.length > 100 ? 100 : (int)value.length;
    switch ((enum jinja_part)value.part) {
    case JINJA_NO_VARIABLE:
        return jinja_fail(run, "\"%.*s\" is undefined", n, value.text);
    case JINJA_NO_ATTRIBUTE:
        return jinja_fail(run, "there is no attribute or item \"%.*s\"", n, value.text);
    case JINJA_UNSAFE:
        return jinja_fail(run, "the attribute \"%.*s\" is not safe in a template", n, value.text);
    default:
        return jinja_fail(run, "%.*s", n, value.text);
    }
}

enum status jinja_step(struct jinja_run *run, uint64_t steps)
{
    assert(run);
    run->steps += steps;
    return run->steps > JINJA_STEPS_MAX
               ? jinja_fail(run, "the template takes more than %d steps", JINJA_STEPS_MAX)
               : OK;
}

enum status jinja_touch(struct jinja_run *run, size_t bytes)
{
    if (bytes > JINJA_TOUCHED_BYTES_MAX - run->touched)
        return jinja_fail(run, "the template copies and compares more than %llu bytes",
                          (unsigned long long)JINJA_TOUCHED_BYTES_MAX);
    run->touched += bytes;
    return OK;
}

enum status jinja_take(struct jinja_run *run, size_t count, size_t item_bytes, void *out)
{
    assert(run && out);
    size_t bytes, total;
    if (!checked_mul(count, item_bytes, &bytes) || !checked_add(bytes, run->arena.bytes, &total) ||
        total > JINJA_MEMORY_BYTES_MAX)
        return jinja_fail(run, "the template's values take more than %d bytes",
                          JINJA_MEMORY_BYTES_MAX);
    TRY(jinja_touch(run, bytes));
    return arena_take(&run->arena, count, item_bytes, out);
}

enum status jinja_go_into(struct jinja_run *run)
{
    assert(run && run->value_depth >= 0);
    TRY(jinja_step(run, 1));
    if (run->value_depth >= JINJA_VALUE_DEPTH_MAX)
        return jinja_fail(run, "a value is nested deeper than %d levels", JINJA_VALUE_DEPTH_MAX);
    run->value_depth++;
    return OK;
}

enum status jinja_write(struct jinja_run *run, const char *text, size_t length)
{
    assert(run && (text || length == 0));
    if (length > JINJA_OUTPUT_BYTES_MAX - run->out.length)
        return jinja_fail(run, "the template writes more than %d bytes", JINJA_OUTPUT_BYTES_MAX);
    TRY(jinja_touch(run, length));
    return length > 0 ? bytes_append(&run->out, text, length) : OK;
}

enum status jinja_writef(struct jinja_run *run, const char *format, ...)
{
    char text[512]; // numbers and names
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof text)
        return jinja_fail(run, "a number has more than %zu digits", sizeof text);
    return jinja_write(run, text, (size_t)n);
}

enum status jinja_copy(struct jinja_run *run, const char *text, size_t length,
                       struct jinja_value *out)
{
    assert(run && (text || length == 0) && out);
    char *copy = NULL;
    TRY(jinja_take(run, length, 1, &copy));
    assert(copy || length == 0);
    if (length > 0)
        memcpy(copy, text, length);
    *out = jinja_text(copy, length);
    return OK;
}

enum status jinja_take_output(struct jinja_run *run, size_t begin, struct jinja_value *out)
{
    const char *text = run->out.data ? run->out.data : "";
    TRY(jinja_copy(run, text + begin, run->out.length - begin, out));
    run->out.length = begin;
    return OK;
}
