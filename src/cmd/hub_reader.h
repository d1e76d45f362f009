// A rank's way to the bytes of weights that stay at the hub.
#ifndef COLROW_CMD_HUB_READER_H
#define COLROW_CMD_HUB_READER_H

#include "hf/byte_source.h"

extern const struct byte_sources hub_reader;

#endif
