"""Dagster: an op that runs a job. Written for dagster 1.13 (op, RetryPolicy, Failure, OpExecutionContext).

berth.py lies beside this file. A retry of the op is of the same Dagster run, so it finds its request again, and makes
another one if the job failed. A re-execution is another Dagster run, so it makes a request of its own.
"""

from typing import Any, Dict

import dagster as dg

import berth


class BerthConfig(dg.Config):
    job: Dict[str, Any]  # a CustomJob
    priority: int = 0


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=60))
def berth_job(context: dg.OpExecutionContext, config: BerthConfig) -> str:
    """Runs a job until it has SUCCEEDED, and returns the name of the CustomJob."""
    client = berth.Client()
    try:
        id = client.attempt(f"dagster-{context.run_id}", context.op_def.name)
        client.submit(config.job, id, priority=config.priority)
        return str(client.wait(id)["job"])
    except berth.Error as e:
        # A refusal comes again, and a person has cancelled what is CANCELLED.
        final = isinstance(e, berth.Refused) or getattr(e, "state", "") == "CANCELLED"
        raise dg.Failure(str(e), metadata={"code": e.code, "fix": e.fix}, allow_retries=not final) from e


@dg.job
def train() -> None:
    berth_job()


defs = dg.Definitions(jobs=[train])
