// A rank process: `colrow rank`, started by the engine. It loads its share of the model and
// executes step plans until it is told to leave.
#ifndef COLROW_ENGINE_RANK_H
#define COLROW_ENGINE_RANK_H

int rank_main(void); // the exit status

#endif
