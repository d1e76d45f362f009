#!/bin/sh
# A sample of the faults that `make faults` makes happen inside ranks, one at a time.
exec python3 "$(dirname "$0")/../faults/faults.py" --sample "${FAULTS_SAMPLE:-8}" --seed "${FAULTS_SEED:-1}"
