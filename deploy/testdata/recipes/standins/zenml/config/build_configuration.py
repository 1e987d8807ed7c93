"""A stand-in for zenml.config.build_configuration."""


class BuildConfiguration:
    def __init__(self, key, settings, step_name):
        self.key, self.settings, self.step_name = key, settings, step_name
