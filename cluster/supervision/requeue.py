"""Whether Slurm starts a job again after us, and without which nodes."""

from collections.abc import Sequence

from cluster.supervision.slurm import Job, Unsaid, ask, requeue


def start_again(job: Job, without: Sequence[str]) -> str:
    """Have Slurm start this job again where that is what its owner wants; says what was done, or why nothing was.

    A job that was cancelled is never started again: Slurm tells it apart from one whose time is up, or that it has
    requeued by itself.
    """
    try:
        state = ask(job)
        if state.is_requeued(job):
            return "requeued by Slurm"
        if state.is_over_early():
            return "not requeued: the job was cancelled"
        if not state.is_batch:
            return "not requeued: this is no batch job"
        if not state.may_requeue:
            return "not requeued: the job may not be (sbatch --requeue)"
        return requeue(job, without)
    except Unsaid as error:
        return f"not requeued: {error}"
