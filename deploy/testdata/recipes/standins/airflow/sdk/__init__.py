"""A stand-in for airflow.sdk."""


class TaskDeferred(BaseException):
    def __init__(self, trigger, method_name):
        self.trigger, self.method_name = trigger, method_name


class DAG:
    def __init__(self, dag_id, *, schedule, start_date, catchup):
        self.dag_id = dag_id

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class BaseOperator:
    def __init__(self, *, task_id, retries=0):
        self.task_id, self.retries = task_id, retries

    def defer(self, *, trigger, method_name, kwargs=None, timeout=None):
        raise TaskDeferred(trigger, method_name)
