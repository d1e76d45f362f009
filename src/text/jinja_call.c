// Calling what a template can call; binding arguments to the parameters of filters, tests, methods
// and functions, by position and by name as Python does.
#include <assert.h>
#include <stdio.h>

#include "text/jinja_eval.h"

enum status jinja_int_argument(struct jinja_run *run, const char *of, struct jinja_value value,
                               int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    if (!jinja_given(value) || jinja_is_int(value, out))
        return OK;
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    return jinja_fail(run, "%s needs an integer, found %s", of, jinja_type_name(value));
}

enum status jinja_text_argument(struct jinja_run *run, const char *of, struct jinja_value value)
{
    if (value.type == JINJA_TEXT)
        return OK;
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    return jinja_fail(run, "%s needs a string, found %s", of, jinja_type_name(value));
}

// The index of `name` among "a,b,c"; -1: none.
static int find_parameter(const char *parameters, struct jinja_value name)
{
    int index = 0;
    for (const char *p = parameters; *p; index++) {
        size_t n = strcspn(p, ",");
        if (n == name.length && memcmp(p, name.text, n) == 0)
            return index;
        p += n + (p[n] == ',');
    }
    return -1;
}

static int count_parameters(const char *parameters)
{
    int n = *parameters != '\0';
    for (const char *p = parameters; *p; p++)
        n += *p == ',';
    return n;
}

static enum status bind_arguments(struct jinja_run *run, const struct jinja_builtin *builtin,
                                  const struct jinja_arguments *arguments,
                                  struct jinja_value out[JINJA_PARAMETERS_MAX])
{
    assert(run && builtin && arguments);
    int n = count_parameters(builtin->parameters);
    for (int i = 0; i < JINJA_PARAMETERS_MAX; i++)
        out[i] = jinja_missing();
    if (arguments->n > (size_t)n)
        return jinja_fail(run, "%s takes at most %d arguments, found %zu", builtin->name, n,
                          arguments->n);
    for (size_t i = 0; i < arguments->n; i++)
        out[i] = arguments->values[i];
    for (size_t i = 0; i < arguments->n_named; i++) {
        struct jinja_value name = arguments->names[i];
        int at = builtin->by_position ? -1 : find_parameter(builtin->parameters, name);
        if (at < 0 || jinja_given(out[at]))
            return jinja_fail(run, "%s %s argument \"%.*s\"", builtin->name,
                              at < 0 ? "has no" : "is given twice the", (int)name.length,
                              name.text);
        out[at] = arguments->named[i];
    }
    for (int i = 0; i < builtin->n_required; i++)
        if (!jinja_given(out[i]))
            return jinja_fail(run, "%s needs %d argument%s", builtin->name, builtin->n_required,
                              builtin->n_required == 1 ? "" : "s");
    return OK;
}

enum status jinja_call_builtin(struct jinja_run *run, const struct jinja_builtin *builtin,
                               struct jinja_value value, const struct jinja_arguments *arguments,
                               struct jinja_value *out)
{
    assert(run && builtin && arguments && out);
    struct jinja_value bound[JINJA_PARAMETERS_MAX];
    TRY(jinja_step(run, 1));
    if (!builtin->parameters)
        return builtin->call_any(run, value, arguments, out);
    TRY(bind_arguments(run, builtin, arguments, bound));
    return builtin->call(run, value, bound, out);
}

static enum status call_joiner(struct jinja_run *run, struct jinja_cycler *joiner,
                               const struct jinja_arguments *arguments, struct jinja_value *out)
{
    assert(run && joiner && joiner->items && arguments && out);
    if (arguments->n + arguments->n_named > 0)
        return jinja_fail(run, "a joiner takes no arguments");
    *out = joiner->at++ == 0 ? jinja_text("", 0) : joiner->items->items[0];
    return OK;
}

enum status jinja_call(struct jinja_run *run, struct jinja_value function,
                       const struct jinja_arguments *arguments, struct jinja_value *out)
{
    assert(run && arguments && out);
    switch ((enum jinja_type)function.type) {
    case JINJA_FUNCTION:
        return jinja_call_builtin(run, function.function, jinja_missing(), arguments, out);
    case JINJA_METHOD:
        return jinja_call_builtin(run, function.method->function, function.method->object,
                                  arguments, out);
    case JINJA_MACRO:
        return jinja_call_macro(run, function.macro, arguments, out);
    case JINJA_LOOP:
        return jinja_call_loop(run, function.loop, arguments, out);
    case JINJA_JOINER:
        return call_joiner(run, function.cycler, arguments, out);
    case JINJA_UNDEFINED:
        return jinja_undefined_used(run, function);
    default:
        return jinja_fail(run, "%s cannot be called", jinja_type_name(function));
    }
}
