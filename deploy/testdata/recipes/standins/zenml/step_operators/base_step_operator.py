"""A stand-in for zenml.step_operators.base_step_operator."""


class BaseStepOperatorConfig:
    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __getattr__(self, name):
        raise AttributeError(name)


class BaseStepOperator:
    def __init__(self, name, config):
        self.name, self.config = name, config


class BaseStepOperatorFlavor:
    pass
