// The filters, in files by what they work on; the table is in jinja_filters.c.
#ifndef COLROW_TEXT_JINJA_FILTERS_H
#define COLROW_TEXT_JINJA_FILTERS_H

#include "text/jinja_eval.h"
#include "text/python_text.h"

// `a` are the arguments, JINJA_MISSING where not given.
#define JINJA_BUILTIN(name)                                                                        \
    enum status name(struct jinja_run *run, struct jinja_value value, const struct jinja_value *a, \
                     struct jinja_value *out)
#define JINJA_BUILTIN_ANY(name)                                                                    \
    enum status name(struct jinja_run *run, struct jinja_value value,                              \
                     const struct jinja_arguments *arguments, struct jinja_value *out)

static inline bool jinja_flag(struct jinja_value argument) // a boolean argument, false by default
{
    return jinja_true(argument);
}
enum status jinja_recase(struct jinja_run *run, enum python_casing casing, struct jinja_value value,
                         struct jinja_value *out) STATUS_MUST_USE;

// ---- jinja_filters_text.c ----
JINJA_BUILTIN(jinja_filter_capitalize);
JINJA_BUILTIN(jinja_filter_center);
JINJA_BUILTIN(jinja_filter_escape);
JINJA_BUILTIN(jinja_filter_filesizeformat);
JINJA_BUILTIN(jinja_filter_forceescape);
JINJA_BUILTIN_ANY(jinja_filter_format);
JINJA_BUILTIN(jinja_filter_indent);
JINJA_BUILTIN(jinja_filter_lower);
JINJA_BUILTIN(jinja_filter_replace);
JINJA_BUILTIN(jinja_filter_safe);
JINJA_BUILTIN(jinja_filter_string);
JINJA_BUILTIN(jinja_filter_striptags);
JINJA_BUILTIN(jinja_filter_title);
JINJA_BUILTIN(jinja_filter_trim);
JINJA_BUILTIN(jinja_filter_truncate);
JINJA_BUILTIN(jinja_filter_upper);
JINJA_BUILTIN(jinja_filter_urlencode);
JINJA_BUILTIN(jinja_filter_wordcount);
JINJA_BUILTIN(jinja_filter_xmlattr);

// ---- jinja_filters_wrap.c ----
JINJA_BUILTIN(jinja_filter_wordwrap);

// ---- jinja_filters_list.c ----
JINJA_BUILTIN(jinja_filter_batch);
JINJA_BUILTIN(jinja_filter_dictsort);
JINJA_BUILTIN(jinja_filter_first);
JINJA_BUILTIN(jinja_filter_groupby);
JINJA_BUILTIN(jinja_filter_items);
JINJA_BUILTIN(jinja_filter_join);
JINJA_BUILTIN(jinja_filter_last);
JINJA_BUILTIN(jinja_filter_length);
JINJA_BUILTIN(jinja_filter_list);
JINJA_BUILTIN_ANY(jinja_filter_map);
JINJA_BUILTIN(jinja_filter_max);
JINJA_BUILTIN(jinja_filter_min);
JINJA_BUILTIN_ANY(jinja_filter_reject);
JINJA_BUILTIN_ANY(jinja_filter_rejectattr);
JINJA_BUILTIN(jinja_filter_reverse);
JINJA_BUILTIN_ANY(jinja_filter_select);
JINJA_BUILTIN_ANY(jinja_filter_selectattr);
JINJA_BUILTIN(jinja_filter_slice);
JINJA_BUILTIN(jinja_filter_sort);
JINJA_BUILTIN(jinja_filter_sum);
JINJA_BUILTIN(jinja_filter_unique);

// ---- jinja_methods_list.c: methods of everything but texts ----
JINJA_BUILTIN(jinja_method_keys);
JINJA_BUILTIN(jinja_method_values);
JINJA_BUILTIN(jinja_method_items);
JINJA_BUILTIN(jinja_method_get);
JINJA_BUILTIN(jinja_method_copy);
JINJA_BUILTIN(jinja_method_fromkeys);
JINJA_BUILTIN(jinja_method_count_item);
JINJA_BUILTIN(jinja_method_index_item);
JINJA_BUILTIN(jinja_method_next);
JINJA_BUILTIN(jinja_method_reset);
JINJA_BUILTIN_ANY(jinja_method_cycle);
JINJA_BUILTIN_ANY(jinja_method_changed);

#endif
