"""A stand-in for zenml.enums."""

import enum


class ExecutionStatus(enum.Enum):
    INITIALIZING = "initializing"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
