"""Airflow 3: publishes a job under the run's id, and waits for its end in the triggerer, without a worker slot.

Put this file and berth.py into the DAGs folder or another folder on the PYTHONPATH of workers and triggerer, and set
BERTH_PROJECT and BERTH_STATUS_URL for both. Written for the task SDK of Airflow 3 (airflow.sdk, airflow.triggers.base;
releases before airflow.sdk.exceptions had AirflowFailException have it in airflow.exceptions).

A task that dies finds its request again; a retry after a failed job makes another request. Airflow does not tell an
operator that a task which waits in the triggerer was marked as failed, so cancel its request with berth cancel.
"""

from __future__ import annotations

import asyncio
import datetime
from typing import Any, AsyncIterator, Dict, Tuple

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

import berth


class BerthTrigger(BaseTrigger):
    """Fires when a request has ended. It only reads, so two triggerers may run it."""

    def __init__(self, id: str, every: float = 30.0) -> None:
        super().__init__()
        self.id, self.every = id, every

    def serialize(self) -> Tuple[str, Dict[str, Any]]:
        return f"{__name__}.BerthTrigger", {"id": self.id, "every": self.every}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        client = berth.Client()
        while True:
            request = await asyncio.to_thread(client.status, self.id)
            if request and request["terminal"]:
                yield TriggerEvent({"id": self.id, "state": request["state"]})
                return
            await asyncio.sleep(self.every)


class BerthOperator(BaseOperator):
    """Runs a job. Its result is the name of the CustomJob. Options are those of berth.Client.run."""

    template_fields = ("job", "options")

    def __init__(self, *, job: Any, options: Dict[str, Any] | None = None, every: float = 30.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job, self.options, self.every = job, options or {}, every

    def execute(self, context: Dict[str, Any]) -> None:
        task = context["ti"]
        parts = [task.dag_id, task.task_id, task.run_id] + ([str(task.map_index)] if task.map_index >= 0 else [])
        client = berth.Client()
        try:
            id = client.attempt(*parts)
            client.submit(self.job, id, **self.options)
        except berth.Refused as e:
            raise AirflowFailException(str(e)) from e  # a retry would be refused, too
        self.defer(trigger=BerthTrigger(id, self.every), method_name="finish")

    def finish(self, context: Dict[str, Any], event: Dict[str, Any]) -> str:
        try:
            return str(berth.Client().wait(event["id"])["job"])
        except berth.Ended as e:
            if e.state == "CANCELLED":
                raise AirflowFailException(str(e)) from e  # a person has cancelled it
            raise


with DAG("train", schedule="0 2 * * *", start_date=datetime.datetime(2026, 1, 1), catchup=False):
    BerthOperator(
        task_id="train",
        retries=2,
        options={"priority": 10},
        job={
            "displayName": "nightly",
            "jobSpec": {
                "workerPoolSpecs": [
                    {
                        "machineSpec": {"machineType": "n1-standard-4"},
                        "replicaCount": 1,
                        "containerSpec": {"imageUri": "us-docker.pkg.dev/example/train/model:1", "args": ["--day={{ ds }}"]},
                    }
                ],
                "scheduling": {"timeout": "3600s"},
            },
        },
    )
