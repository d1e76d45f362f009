// The input is JSON, read in both dialects. A tree that one gives is dumped and read again: the
// same tree. What RFC 8259 allows, Python's reader allows, too.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

static void check_tree(const json_t *tree)
{
    size_t bad;
    const char *shown = json_show(tree);
    assert(strlen(shown) < 80 && utf8_check(shown, strlen(shown), &bad));
    char *text = json_dumps(tree, JSON_ENCODE_ANY | JSON_COMPACT);
    json_t *again;
    assert(text && json_parse("fuzz", text, strlen(text), &again) == OK);
    char *more = json_dumps(again, JSON_ENCODE_ANY | JSON_COMPACT);
    assert(more && strcmp(text, more) == 0);
    json_decref(again);
    free(text);
    free(more);
}

static void check_skip(const char *text, size_t size, bool parses)
{
    struct json_reader reader = {"fuzz", text, text, text + size, JSON_RFC};
    struct bytes scratch;
    bytes_init(&scratch);
    bool skipped = json_reader_skip(&reader, &scratch) == OK && json_reader_finish(&reader) == OK;
    assert(skipped || !parses); // it counts no values
    bytes_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    json_t *python = NULL, *rfc = NULL;
    size_t nodes = JSON_REQUEST_NODES_MAX;
    if (json_check_utf8("fuzz", text, size) != OK)
        return 0;
    enum status of_rfc = json_parse_within("fuzz", text, size, JSON_RFC, nodes, &rfc),
                of_python = json_parse_within("fuzz", text, size, JSON_PYTHON, nodes, &python);
    assert((of_rfc == OK) == (rfc != NULL) && (of_python == OK) == (python != NULL));
    assert(of_rfc != OK || of_python == OK);
    if (python)
        check_tree(python);
    check_skip(text, size, of_rfc == OK);
    json_decref(rfc);
    json_decref(python);
    return 0;
}
