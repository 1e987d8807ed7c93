"""A stand-in for prefect: a task runs in the caller's thread, with the retries that its condition lets it have."""


class State:
    def __init__(self, error):
        self.error = error

    def result(self, raise_on_failure=True):
        return self.error


def task(*, retries, retry_delay_seconds, retry_condition_fn):
    def decorate(function):
        def call(*args, **named):
            for left in range(retries, -1, -1):
                try:
                    return function(*args, **named)
                except Exception as e:
                    if not left or not retry_condition_fn(call, None, State(e)):
                        raise

        return call

    return decorate


def flow(function):
    return function
