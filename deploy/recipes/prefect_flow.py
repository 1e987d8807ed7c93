"""Prefect 3: a task that runs a job. Written for prefect 3.8 (retry_condition_fn, prefect.runtime.task_run).

berth.py lies beside this file. A task run keeps its id over its retries: one whose process died finds its request
again, and one whose job failed makes another request.
"""

from typing import Any

from prefect import flow, task
from prefect.runtime import task_run

import berth


def worth_a_retry(task: Any, run: Any, state: Any) -> bool:
    """A refusal comes again, and a person has cancelled what is CANCELLED."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, berth.Refused) and getattr(error, "state", "") != "CANCELLED"


@task(retries=2, retry_delay_seconds=60, retry_condition_fn=worth_a_retry)
def berth_job(job: Any, **options: Any) -> str:
    """Runs a job until it has SUCCEEDED, and returns the name of the CustomJob."""
    client = berth.Client()
    id = client.attempt(f"prefect-{task_run.id}")
    client.submit(job, id, **options)
    return str(client.wait(id)["job"])


@flow
def train(path: str = "job.yaml") -> str:
    with open(path, encoding="utf-8") as file:
        return berth_job(file.read(), priority=10)


if __name__ == "__main__":
    train()
