"""A stand-in for kfp.dsl: a component is its function, and a pipeline calls it."""

import os

PIPELINE_JOB_ID_PLACEHOLDER = "{{$.pipeline_job_uuid}}"


class Task:
    def __init__(self, arguments):
        self.arguments = arguments

    def set_retry(self, num_retries, backoff_duration=None, backoff_factor=None, backoff_max_duration=None):
        return self


def component(*, base_image, embedded_artifact_path):
    if not os.path.exists(embedded_artifact_path):
        raise ValueError("embedded_artifact_path does not exist")

    def decorate(function):
        def call(**arguments):
            return Task(arguments)

        call.python_func = function
        return call

    return decorate


def pipeline(*, name):
    return lambda function: function
