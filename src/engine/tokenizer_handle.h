// A colrow_tokenizer: what turns text into ids and back, and messages into a prompt. Immutable, so
// that any number of threads may use it; counted, so that it lives as long as anybody needs it.
#ifndef COLROW_ENGINE_TOKENIZER_HANDLE_H
#define COLROW_ENGINE_TOKENIZER_HANDLE_H

#include <colrow/colrow.h>
#include <stdatomic.h>

#include "base/file.h"
#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

struct colrow_tokenizer {
    _Atomic int n_owners;
    char model[FILE_PATH_MAX];
    struct tokenizer *tokenizer; // NULL: the folder has none
    struct chat_template *chat;  // NULL: none, and chat_error says why
    char *chat_error;
};

// Of a folder that may lack either of the two.
enum status tokenizer_handle_open(const char *model, struct colrow_tokenizer **out) STATUS_MUST_USE;

#endif
