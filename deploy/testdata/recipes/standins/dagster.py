"""A stand-in for dagster: an op is its function."""


class Config:
    def __init__(self, **fields):
        self.__dict__.update(type(self).__dict__)
        self.__dict__.update(fields)


class OpExecutionContext:
    pass


class RetryPolicy:
    def __init__(self, max_retries=1, delay=None):
        pass


class Failure(Exception):
    def __init__(self, description=None, metadata=None, allow_retries=None):
        super().__init__(description)
        self.metadata, self.allow_retries = metadata, allow_retries


class Definitions:
    def __init__(self, jobs):
        self.jobs = jobs


def op(retry_policy):
    return lambda function: function


def job(function):
    return function
