/* What `instructions.py` tells callgrind from inside of the measured process. */
#include <valgrind/callgrind.h>

void zero(void) { CALLGRIND_ZERO_STATS; }
void dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
