#include "text/protobuf.h"

#include <assert.h>
#include <string.h>

enum { GROUP_BEGINS = 3, GROUP_ENDS = 4, VARINT_BYTES_MAX = 10 };

void protobuf_begin(struct protobuf_reader *reader, const char *where, const char *data,
                    size_t length)
{
    assert(reader && where && (data || length == 0));
    const char *begin = data ? data : "";
    *reader = (struct protobuf_reader){where, begin, begin, begin + length};
}

static enum status wrong_message(const struct protobuf_reader *reader, const char *what)
{
    return fail(ERR_INPUT, "%s: not a valid protocol buffer: %s at byte %zu", reader->where, what,
                (size_t)(reader->at - reader->begin));
}

static enum status read_varint(struct protobuf_reader *reader, uint64_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        if (reader->at == reader->end)
            return wrong_message(reader, "it ends within a number");
        uint64_t byte = (unsigned char)*reader->at++;
        *out |= (byte & 0x7F) << (7 * i);
        if (byte < 0x80)
            return OK;
    }
    return wrong_message(reader, "a number has more than ten bytes");
}

static enum status read_fixed(struct protobuf_reader *reader, size_t bytes, uint64_t *out)
{
    if ((size_t)(reader->end - reader->at) < bytes)
        return wrong_message(reader, "it ends within a number");
    *out = 0;
    for (size_t i = 0; i < bytes; i++) // the least byte first
        *out |= (uint64_t)(unsigned char)reader->at[i] << (8 * i);
    reader->at += bytes;
    return OK;
}

static enum status read_tag(struct protobuf_reader *reader, uint32_t *number, unsigned *wire)
{
    uint64_t tag;
    TRY(read_varint(reader, &tag));
    if (tag > UINT32_MAX || tag >> 3 == 0)
        return wrong_message(reader, "a field has no valid number");
    *number = (uint32_t)(tag >> 3);
    *wire = (unsigned)(tag & 7);
    return OK;
}

static enum status read_content(struct protobuf_reader *reader, unsigned wire,
                                struct protobuf_field *field)
{
    uint64_t length;
    field->wire = (enum protobuf_wire)wire;
    switch (wire) {
    case PROTOBUF_VARINT:
        return read_varint(reader, &field->value);
    case PROTOBUF_FIXED64:
        return read_fixed(reader, 8, &field->value);
    case PROTOBUF_FIXED32:
        return read_fixed(reader, 4, &field->value);
    case PROTOBUF_BYTES:
        TRY(read_varint(reader, &length));
        if (length > (size_t)(reader->end - reader->at))
            return wrong_message(reader, "a field is longer than what is left");
        field->data = reader->at;
        field->length = (size_t)length;
        reader->at += length;
        return OK;
    default:
        return wrong_message(reader, "a field is of no known kind");
    }
}

// The fields of a group, an old form of a message in a message, up to its end.
static enum status skip_group(struct protobuf_reader *reader, uint32_t number)
{
    uint32_t open[PROTOBUF_GROUPS_MAX] = {number};
    for (size_t depth = 1; depth > 0;) {
        struct protobuf_field ignored = {0};
        unsigned wire = 0;
        TRY(read_tag(reader, &number, &wire));
        if (wire == GROUP_BEGINS) {
            if (depth == PROTOBUF_GROUPS_MAX)
                return wrong_message(reader, "groups are nested too deeply");
            open[depth++] = number;
        } else if (wire == GROUP_ENDS) {
            if (open[--depth] != number)
                return wrong_message(reader, "a group ends that has not begun");
        } else {
            TRY(read_content(reader, wire, &ignored));
        }
    }
    return OK;
}

enum status protobuf_next(struct protobuf_reader *reader, struct protobuf_field *field, bool *found)
{
    assert(reader && field && found);
    while (reader->at < reader->end) {
        unsigned wire = 0;
        *field = (struct protobuf_field){.data = ""};
        TRY(read_tag(reader, &field->number, &wire));
        *found = wire != GROUP_BEGINS;
        if (*found)
            return read_content(reader, wire, field);
        TRY(skip_group(reader, field->number));
    }
    *found = false;
    return OK;
}

float protobuf_float(const struct protobuf_field *field)
{
    assert(field->wire == PROTOBUF_FIXED32);
    uint32_t bits = (uint32_t)field->value;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
