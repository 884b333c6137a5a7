#!/usr/bin/env bash
# Registers a BIDS folder on SLURM, a task a subject. From the folder of run.py, with as many tasks as there are subjects:
#
#   sbatch --array=0-99 Documentation/slurm_array.sh BIDS OUT [options of batch]
#
# The tasks share OUT and its summary. When all have ended, run batch once more without the array: it tries again what
# failed, and its summary and exit status are those of the whole cohort. Give it --threads 2 as well, as the tasks have:
# one thread and several may differ by a rounding.
#SBATCH --job-name=bsafusion
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=01:00:00
set -euo pipefail

cohort=$1 out=$2
shift 2
read -r -a program <<<"${BSAFUSION:-python3 run.py}" # such as "bsafusion", where that is installed
subjects=("$cohort"/sub-*/)
subject=$(basename "${subjects[SLURM_ARRAY_TASK_ID]}")
exec "${program[@]}" batch "$cohort" --out "$out" --participant-label "$subject" --workers 1 \
    --threads "${SLURM_CPUS_PER_TASK:-1}" "$@"
