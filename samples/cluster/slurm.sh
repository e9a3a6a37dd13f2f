#!/usr/bin/env bash
# A SLURM array over a list of scenes, one shard to a task:
#
#     sbatch --array=0-9 samples/cluster/slurm.sh scenes.csv fused/ --sensor landsat8
#
# What follows the list and the output folder are options of pancli batch. A task that was preempted or timed out
# goes on where it was when the same command is given again: what is done is known by its inputs and skipped.
#SBATCH --job-name=pancli
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --output=pancli-%A_%a.log
set -euo pipefail

list=$1 folder=$2
shift 2
: "${SLURM_ARRAY_TASK_ID:?give --array=0-N to sbatch}" "${SLURM_ARRAY_TASK_COUNT:?}"

# exec: SLURM's signals reach pancli itself, which then removes what it was writing.
exec pancli batch "$list" --out-dir "$folder" --resume \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --num-threads "${SLURM_CPUS_PER_TASK:-1}" "$@"
