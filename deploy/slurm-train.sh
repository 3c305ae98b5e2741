#!/bin/bash
# Train under SLURM's time limit: five minutes before the limit the run writes a checkpoint and ends, and the job is
# put back in the queue, where this script resumes the run. Adjust the numbers, and submit:
#
#   sbatch deploy/slurm-train.sh boir-w32-coco /data/runs/boir --data /data/coco
#
# The run's folder must be on a disk that all machines share.
#SBATCH --job-name=everypose
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300

recipe=$1
run=$2
shift 2

if [ -e "$run/checkpoints/last.ckpt" ]; then
    start=(--resume "$run")
else
    start=("$recipe" -o "$run")
fi

# SIGTERM, which srun forwards to all processes, ends a run after its present step, with a checkpoint.
limit_is_near=
trap 'limit_is_near=yes; kill -TERM "$training"' USR1

srun everypose train "${start[@]}" "$@" &
training=$!
wait "$training"
status=$?
while kill -0 "$training" 2>/dev/null; do # a signal ended the wait, not the training
    wait "$training"
    status=$?
done

if [ -n "$limit_is_near" ] && [ "$status" -ne 0 ]; then
    echo "requeued after a checkpoint"
    scontrol requeue "$SLURM_JOB_ID"
    exit
fi
exit "$status"
