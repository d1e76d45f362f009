// A reader of protocol buffers: the fields of one message, one after the other. It knows nothing of
// their meaning; what it hands out lies in the message.
#ifndef COLROW_TEXT_PROTOBUF_H
#define COLROW_TEXT_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { PROTOBUF_GROUPS_MAX = 64 }; // one in another, which are skipped

enum protobuf_wire { // as they are numbered there
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2,
    PROTOBUF_FIXED32 = 5,
};

struct protobuf_field {
    uint32_t number;
    enum protobuf_wire wire;
    uint64_t value;   // all but PROTOBUF_BYTES
    const char *data; // PROTOBUF_BYTES: borrowed from the message; never NULL
    size_t length;
};

struct protobuf_reader {
    const char *where; // for messages, borrowed
    const char *begin, *at, *end;
};

void protobuf_begin(struct protobuf_reader *reader, const char *where, const char *data,
                    size_t length);
// The next field; `*found` is false at the end.
enum status protobuf_next(struct protobuf_reader *reader, struct protobuf_field *field,
                          bool *found) STATUS_MUST_USE;
float protobuf_float(const struct protobuf_field *field); // of PROTOBUF_FIXED32

#endif
