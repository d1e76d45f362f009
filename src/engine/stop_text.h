// Stop strings: text is held back while it could still become one, and cut at the first that is
// complete.
#ifndef COLROW_ENGINE_STOP_TEXT_H
#define COLROW_ENGINE_STOP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

enum { STOP_STRINGS_MAX = 64, STOP_STRING_BYTES_MAX = 4096 };

struct stop_string {
    const char *text; // a NUL in it is a character
    size_t length;
};

struct stop_text {
    const struct stop_string *stops; // borrowed, none empty
    int n_stops;
    bool include;      // the stop string belongs to the output
    struct bytes held; // not handed out yet
    size_t searched;   // a match ends behind this place of `held`
    int found;         // index of the stop string that ended the text, or -1
};

void stop_text_init(struct stop_text *stop, const struct stop_string *stops, int n_stops,
                    bool include);
void stop_text_fini(struct stop_text *stop);

// Adds text and appends to `out` what can no longer be part of a stop string. Not `armed` (before
// min_tokens): the text is not searched. Among several stop strings the one that is complete first
// wins, so that the result does not depend on how the text was cut; of two complete at the same
// byte the longer. After a match nothing more comes out.
enum status stop_text_add(struct stop_text *stop, const char *text, size_t length, bool armed,
                          struct bytes *out) STATUS_MUST_USE;
// The end without a match: what was held back comes out.
enum status stop_text_flush(struct stop_text *stop, struct bytes *out) STATUS_MUST_USE;

#endif
