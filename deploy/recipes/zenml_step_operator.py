"""ZenML: a step operator that runs steps on a persistent resource by way of Berth.

berth.py lies beside this file. Register both, with BERTH_PROJECT and BERTH_STATUS_URL set where pipelines are launched:

    zenml step-operator flavor register zenml_step_operator.BerthStepOperatorFlavor
    zenml step-operator register berth --flavor=berth --machine_type=n1-standard-4 --timeout=3600s

and use it as @step(step_operator="berth"). Written for the base class that has submit, get_status and cancel beside
wait (ZenML 0.9x); launch serves releases that call only that. A step run is one request, so a second launch of the
same step run finds its job.
"""

from typing import TYPE_CHECKING, Any, Dict, List, Type

from zenml.config.build_configuration import BuildConfiguration
from zenml.enums import ExecutionStatus
from zenml.step_operators.base_step_operator import BaseStepOperator, BaseStepOperatorConfig, BaseStepOperatorFlavor

import berth

if TYPE_CHECKING:
    from zenml.config.step_run_info import StepRunInfo
    from zenml.models import PipelineSnapshotBase, StepRunResponse

IMAGE = "berth_step_operator"
STATES = {"SUCCEEDED": ExecutionStatus.COMPLETED, "CANCELLED": ExecutionStatus.STOPPED, "RUNNING": ExecutionStatus.RUNNING}


class BerthStepOperatorConfig(BaseStepOperatorConfig):
    machine_type: str
    accelerator_type: str = ""
    accelerator_count: int = 0
    boot_disk_type: str = ""
    boot_disk_size_gb: int = 0
    service_account: str = ""
    persistent_resource: str = ""  # "" for the deployment's default
    priority: int = 0
    timeout: str = ""  # the job's time limit, such as 3600s

    @property
    def is_remote(self) -> bool:
        return True


class BerthStepOperator(BaseStepOperator):
    def get_docker_builds(self, snapshot: "PipelineSnapshotBase") -> List[BuildConfiguration]:
        return [
            BuildConfiguration(key=IMAGE, settings=step.config.docker_settings, step_name=name)
            for name, step in snapshot.step_configurations.items()
            if step.config.uses_step_operator(self.name)
        ]

    def submit(self, info: "StepRunInfo", entrypoint_command: List[str], environment: Dict[str, str]) -> None:
        config: Any = self.config
        worker_pool = {
            "machine_spec": {
                "machine_type": config.machine_type,
                "accelerator_type": config.accelerator_type,
                "accelerator_count": config.accelerator_count,
            },
            "disk_spec": {"boot_disk_type": config.boot_disk_type, "boot_disk_size_gb": config.boot_disk_size_gb},
            "replica_count": 1,
            "container_spec": {
                "image_uri": info.get_image(key=IMAGE),
                "command": entrypoint_command,
                "env": [{"name": name, "value": value} for name, value in environment.items()],
            },
        }
        spec = {
            "worker_pool_specs": [worker_pool],
            "service_account": config.service_account,
            "persistent_resource_id": config.persistent_resource,
            "scheduling": {"timeout": config.timeout},
        }
        job = {"display_name": f"{info.run_name} {info.pipeline_step_name}"[:128], "job_spec": spec}
        berth.Client().submit(job, request_id(info.step_run_id), priority=config.priority)

    def get_status(self, step_run: "StepRunResponse") -> ExecutionStatus:
        request = berth.Client().status(request_id(step_run.id)) or {}
        other = ExecutionStatus.FAILED if request.get("terminal") else ExecutionStatus.INITIALIZING
        return STATES.get(request.get("state", ""), other)

    def cancel(self, step_run: "StepRunResponse") -> None:
        berth.Client().cancel(request_id(step_run.id), "cancelled in ZenML")

    def launch(self, info: "StepRunInfo", entrypoint_command: List[str], environment: Dict[str, str]) -> None:
        self.submit(info, entrypoint_command, environment)
        berth.Client().wait(request_id(info.step_run_id))


def request_id(step_run: Any) -> str:
    return f"zenml-{step_run}"


class BerthStepOperatorFlavor(BaseStepOperatorFlavor):
    @property
    def name(self) -> str:
        return "berth"

    @property
    def config_class(self) -> Type[BaseStepOperatorConfig]:
        return BerthStepOperatorConfig

    @property
    def implementation_class(self) -> Type[BaseStepOperator]:
        return BerthStepOperator
