// A number that whoever starts a rank puts into its environment.
#ifndef COLROW_COMM_ENVIRONMENT_NUMBER_H
#define COLROW_COMM_ENVIRONMENT_NUMBER_H

#include "base/status.h"

enum status environment_number(const char *name, int least, int most, int *out) STATUS_MUST_USE;

#endif
