// Base64 (RFC 4648, with '+' and '/').
#ifndef COLROW_BASE_BASE64_H
#define COLROW_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

// Appends the bytes that `text` stands for. `*valid` is false, and part of them appended, where it
// has other characters, or not the '=' at its end that belong there.
enum status base64_decode(const char *text, size_t length, struct bytes *out,
                          bool *valid) STATUS_MUST_USE;
enum status base64_encode(const char *data, size_t length, struct bytes *out) STATUS_MUST_USE;

#endif
