"""A stand-in for prefect.runtime."""


class task_run:
    id = ""
