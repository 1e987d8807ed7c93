"""Kubeflow Pipelines and Vertex AI Pipelines: a component that runs a job and gives its name to the next one.

berth.py lies beside this file and is compiled into the component, so no image has to be built. Written for kfp 2.15
(dsl.component with embedded_artifact_path, which puts the embedded file on sys.path). The pod or pipeline job runs as a
service account that may publish and read Status. Unlike Google's custom job component, this one waits for machines.
"""

import pathlib

from kfp import dsl


@dsl.component(base_image="python:3.12-slim", embedded_artifact_path=str(pathlib.Path(__file__).with_name("berth.py")))
def berth_job(project: str, status_url: str, run_id: str, step: str, job: dict, options: dict = {}) -> str:
    """Runs a job until it has SUCCEEDED, and returns the name of the CustomJob.

    A retry of the step has the same run_id and step, so it finds the request of a pod that died.
    """
    import berth

    client = berth.Client(project=project, status_url=status_url)
    id = client.attempt(run_id, step)
    client.submit(job, id, **options)
    return str(client.wait(id)["job"])


@dsl.pipeline(name="train-on-a-persistent-resource")
def pipeline(project: str, status_url: str, job: dict) -> None:
    train = berth_job(project=project, status_url=status_url, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, step="train", job=job)
    train.set_retry(num_retries=2)
