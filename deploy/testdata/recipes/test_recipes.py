"""Runs berth.py and the Python recipes against a local stack, whose place the environment names.

The libraries of the recipes are stood in for by the folder standins, which shows how the recipes' own lines behave,
and not that the libraries' names are right.
"""

import ast
import asyncio
import base64
import importlib.util
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest
import unittest.mock
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
RECIPES = HERE.parent.parent / "recipes"
sys.path[:0] = [str(RECIPES), str(HERE / "standins"), str(HERE)]

import berth  # noqa: E402
import workflows  # noqa: E402
from faults import Faults  # noqa: E402

PUBSUB, STATUS, VERTEX = (os.environ[name] for name in ("TEST_PUBSUB", "TEST_STATUS", "TEST_VERTEX"))
FAULTS = Faults(PUBSUB, STATUS[: -len("/Status")])
os.environ.update(PUBSUB_EMULATOR_HOST=FAULTS.host, BERTH_STATUS_URL=f"http://{FAULTS.host}/Status")
EVERY = 0.1


def job(name, run="50ms", **labels):
    """A job of one small machine. The fake Vertex AI runs it for so long, and ends it as the label fake-end says."""
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "us-docker.pkg.dev/example/train/model:1"}}
    return {"displayName": name, "labels": {"fake-run": run, **labels}, "jobSpec": {"workerPoolSpecs": [pool]}}


def jobs(name):
    """The names of the jobs that Vertex AI has under a display name."""
    with urllib.request.urlopen(f"http://{VERTEX}/v1/projects/{os.environ['BERTH_PROJECT']}/locations/us-central1/customJobs?pageSize=100") as answer:
        return [j["name"] for j in json.load(answer).get("customJobs", []) if j["displayName"] == name]


class Base(unittest.TestCase):
    def setUp(self):
        FAULTS.plan.clear()
        FAULTS.calls.clear()
        self.id = f"{self.id().rsplit('.', 1)[1]}-{os.getpid()}"
        self.client = berth.Client(every=EVERY)

    def tearDown(self):
        self.assertEqual(FAULTS.plan, [], "a fault that was planned did not happen")


class Client(Base):
    def test_run_gives_the_job_and_wait_its_end(self):
        name = self.client.run(job(self.id), self.id, timeout=120)
        self.assertEqual(jobs(self.id), [name])
        end = self.client.wait(self.id, timeout=120)
        self.assertEqual((end["state"], end["job"]), ("SUCCEEDED", name))
        # The same id again gives back the same job, running or ended.
        self.assertEqual(self.client.run(job(self.id), self.id, timeout=120), name)
        self.assertEqual(jobs(self.id), [name])

    def test_the_environment_names_the_deployment(self):
        with unittest.mock.patch.object(berth.Client.__init__, "__defaults__", (None, None, None, None, None, EVERY)):
            name = berth.run(job(self.id), self.id, 120, priority=7, labels={"b": "2", "a": "1"}, max_wait="3600s")
            self.assertEqual(berth.wait(self.id, 120)["job"], name)
        request = self.client.status(self.id)
        self.assertEqual((request["priority"], request["maxWait"]), (7, "3600s"))
        self.assertEqual((request["labels"]["a"], request["labels"]["b"]), ("1", "2"))
        with unittest.mock.patch.dict(os.environ, BERTH_PROJECT=""), self.assertRaisesRegex(ValueError, "BERTH_PROJECT"):
            berth.Client()

    def test_without_an_id_each_call_is_a_request(self):
        first, second = (self.client.run(job(self.id), timeout=120) for _ in range(2))
        self.assertEqual(sorted(jobs(self.id)), sorted([first, second]))

    def test_forms_of_a_job(self):
        class CustomJob:  # as a message of proto-plus has it
            @classmethod
            def to_json(cls, instance, *, use_integers_for_enums=True):
                assert not use_integers_for_enums
                spec = {**instance.of["jobSpec"], "persistentResourceId": "", "scheduling": {"strategy": "STRATEGY_UNSPECIFIED"}}
                return json.dumps({**instance.of, "name": "", "state": "JOB_STATE_UNSPECIFIED", "jobSpec": spec})

        proto = CustomJob()
        proto.of = job(self.id)
        for n, form in enumerate([json.dumps(job(self.id)), json.dumps(job(self.id)).encode(), proto, types.SimpleNamespace(_gca_resource=proto)]):
            self.client.run(form, f"{self.id}-{n}", timeout=120)
        self.assertEqual(len(jobs(self.id)), 4)
        self.client.run((HERE.parent.parent.parent / "testdata/jobs/gpu.yaml").read_text(), f"{self.id}-yaml", timeout=120)

    def test_a_publication_fails(self):
        for how in ("nothing", "anyway", "cut", "twice", 429):
            with self.subTest(how):
                id = f"{self.id}-{how}"
                FAULTS.plan.append((":publish", how))
                name = self.client.run(job(id), id, timeout=120)
                self.assertEqual(jobs(id), [name])

    def test_a_publication_is_refused(self):
        FAULTS.plan.append((":publish", 403))
        with self.assertRaisesRegex(berth.Error, "403"):
            self.client.run(job(self.id), self.id)
        self.assertIsNone(self.client.status(self.id))
        with self.assertRaisesRegex(berth.Error, "no such topic"):
            berth.Client(topic="nowhere").run(job(self.id), self.id)

    def test_reading_fails(self):
        FAULTS.plan.extend([("GET", "nothing"), ("answer", "cut"), ("kind=request", 500), ("kind=request", "cut")])
        self.client.run(job(self.id), self.id, timeout=120)
        self.assertEqual(FAULTS.publications(), 1)

    def test_what_may_not_be_followed_is_not_published(self):
        for answer, said in ((403, "403"), (404, "is not a Status function"), ("page", "not in JSON")):
            FAULTS.plan.append(("GET", answer))
            with self.assertRaisesRegex(berth.Error, said):
                self.client.run(job(self.id), self.id)
        with self.assertRaises(ValueError):
            self.client.run(job(self.id), self.id, dry_run=True)
        self.assertEqual(FAULTS.publications(), 0)

    def test_killed_between_publish_and_wait(self):
        code = "import berth, json, sys; berth.run(json.load(sys.stdin), sys.argv[1])"
        child = subprocess.Popen([sys.executable, "-c", code, self.id], stdin=subprocess.PIPE, cwd=RECIPES)
        FAULTS.plan.append((":publish", child.kill))
        child.communicate(json.dumps(job(self.id)).encode(), timeout=120)
        self.assertEqual(child.returncode, -signal.SIGKILL)
        name = self.client.run(job(self.id), self.id, timeout=120)
        self.assertEqual(jobs(self.id), [name])

    def test_refused_as_no_job(self):
        bad = job(self.id)
        bad["jobSpec"]["workerPoolSpecs"][0]["machinSpec"] = {}
        with self.assertRaises(berth.Refused) as caught:
            self.client.run(bad, self.id, timeout=120)
        e = caught.exception
        self.assertEqual((e.code, e.path), ("UNKNOWN_FIELD", "jobSpec.workerPoolSpecs[0].machinSpec"))
        self.assertIn("machineSpec", e.fix)
        self.assertEqual(e.problems[0]["code"], e.code)
        for text in (self.id, e.code, e.path, e.fix):
            self.assertIn(text, str(e))
        self.assertEqual(jobs(self.id), [])

    def test_refused_for_an_option_or_an_id(self):
        for id, options in (("an id", {}), (self.id, {"priorty": 3}), (self.id, {"priority": 2000})):
            with self.subTest(id=id, options=options), self.assertRaises(berth.Refused):
                self.client.run(job(self.id), id, timeout=120, **options)

    def test_ids_of_steps(self):
        run = "scheduled__2026-11-27T02:00:00+00:00"
        long = ["team-forecasting.retail_demand_weekly_v2", "training.train_and_evaluate_all_regions.train_large_model", run]
        for names, want in (
            (["d", "t", run], "d.t.scheduled__2026-11-27T02:00:00-00:00"),
            (["prefect-1"], "prefect-1"),
            (["a" * 120], "a" * 120),
            (long, r"team-forecasting\.retail_demand_weekly_v2\..*~[0-9a-f]{16}"),
            (["_private", "t"], r"private\.t~[0-9a-f]{16}"),
            (["a" * 121], r"a{100}~[0-9a-f]{16}"),
            (["___"], r"step~[0-9a-f]{16}"),
        ):
            with self.subTest(names=names):
                self.assertRegex(berth.request_id(names), f"^{want}$")
        self.assertNotEqual(berth.request_id(long), berth.request_id(long[:2] + [run.replace("27", "28")]))
        id = self.client.attempt(self.id, *long)
        self.client.run(job(self.id), id, timeout=120)
        self.assertEqual(self.client.attempt(self.id, *long), id)

    def test_rejected(self):
        big = job(self.id)
        big["jobSpec"]["workerPoolSpecs"][0]["machineSpec"]["machineType"] = "a3-highgpu-8g"
        for _ in range(2):  # and again under the same id
            with self.assertRaises(berth.Refused) as caught:
                self.client.run(big, self.id, timeout=120)
            self.assertEqual(caught.exception.code, "SPEC_MISMATCH")
            self.assertTrue(caught.exception.detail)
        for call in (lambda: self.client.wait(self.id, timeout=120), lambda: self.client.submit(big, self.id, timeout=120)):
            with self.assertRaises(berth.Refused):
                call()

    def test_a_template_is_warned_of(self):
        self.client.run(job(self.id + " ${USER}"), self.id, timeout=120)
        request = self.client.status(self.id)
        for warnings in (request["warnings"], request["events"][0]["outcome"]["warnings"]):
            self.assertEqual([(w["path"], "${USER}" in w["detail"]) for w in warnings if "${" in w["detail"]], [("displayName", True)])

    def test_an_id_of_another_job(self):
        name = self.client.run(job(self.id, run="1h"), self.id, timeout=120)
        for state in ("active", "ended"):
            # The answer is not there yet when the client asks for the first time.
            FAULTS.plan.append(("kind=answer", "unknown"))
            with self.subTest(state), self.assertRaises(berth.Refused) as caught:
                self.client.run(job(self.id, run="2h"), self.id, timeout=120)
            self.assertEqual(caught.exception.code, "ID_REUSED")
            self.assertTrue(caught.exception.fix)
            if state == "active":
                self.client.cancel(self.id)
                with self.assertRaises(berth.Ended):
                    self.client.wait(self.id, timeout=120)
        self.assertEqual(jobs(self.id), [name])

    def test_a_job_that_fails(self):
        name = self.client.run(job(self.id, **{"fake-end": "failed"}), self.id, timeout=120)
        with self.assertRaises(berth.Ended) as caught:
            self.client.wait(self.id, timeout=120)
        e = caught.exception
        self.assertEqual((e.state, e.code, e.status["job"]), ("FAILED", "JOB_ENDED", name))
        # Another try of the step is another request, until one has succeeded.
        self.assertEqual(self.client.attempt(self.id), f"{self.id}.2")
        self.client.run(job(self.id), f"{self.id}.2", timeout=120)
        self.assertEqual(self.client.attempt(self.id), f"{self.id}.2")

    def test_a_request_that_goes_back_to_the_queue_gets_another_job(self):
        for state, name in (("CANCELLING", "old"), ("WAITING", "old"), ("RUNNING", "new")):
            FAULTS.plan.append(("kind=request", {"state": state, "job": name, "terminal": False}))
        with unittest.mock.patch.object(self.client, "submit", return_value=self.id):
            self.assertEqual(self.client.run({}, self.id, timeout=120), "new")

    def test_time_is_up_and_cancel(self):
        with self.assertRaises(berth.Timeout):
            self.client.wait(self.id, timeout=0.2)
        self.client.run(job(self.id, run="1h"), self.id, timeout=120)
        with self.assertRaises(TimeoutError):
            self.client.wait(self.id, timeout=0.2)
        FAULTS.plan.extend([(":publish", "nothing"), (":publish", "anyway")])
        self.client.cancel(self.id, "no longer needed")
        with self.assertRaises(berth.Ended) as caught:
            self.client.wait(self.id, timeout=120)
        self.assertEqual((caught.exception.state, caught.exception.code), ("CANCELLED", "CANCEL_REQUESTED"))
        self.assertIn("no longer needed", str(caught.exception))

    def test_a_cancel_comes_first(self):
        self.client.cancel(self.id)
        for _ in self.client._polls(berth.after(120), "the cancel has not come"):
            if self.client._get(self.id, "request", berth.after(120)):
                break
        self.assertIsNone(self.client.status(self.id))
        # The message is not delivered yet when the client asks for the first time.
        cancelled = {"cancelledUntil": "2100-01-01T00:00:00Z", "terminal": True}
        FAULTS.plan.extend([("kind=request", "passed"), ("kind=request", cancelled)])
        with self.assertRaises(berth.Ended) as caught:
            self.client.run(job(self.id), self.id, timeout=120)
        self.assertEqual(caught.exception.state, "CANCELLED")
        self.assertEqual(jobs(self.id), [])

    def test_an_unknown_id_is_an_error_in_the_end(self):
        with unittest.mock.patch.object(berth, "PATIENCE", 0.2), self.assertRaisesRegex(berth.Error, "Nothing is known"):
            self.client.wait(self.id)


class Tokens(unittest.TestCase):
    """What berth.py sends to a deployment, without one: urlopen is replaced."""

    def setUp(self):
        self.sent, self.answers = [], []
        environment = {name: value for name, value in os.environ.items() if name not in ("PUBSUB_EMULATOR_HOST", "BERTH_TOKEN")}
        for patch in (unittest.mock.patch.object(urllib.request, "urlopen", self.urlopen), unittest.mock.patch.dict(os.environ, environment, clear=True)):
            patch.start()
            self.addCleanup(patch.stop)

    def urlopen(self, request, timeout):
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            raise urllib.error.HTTPError(request.full_url, answer, "", {}, open(os.devnull, "rb"))
        if isinstance(answer, Exception):
            raise answer
        return open(_file(answer), "rb")

    def test_headers_and_a_token_that_has_expired(self):
        given = iter(["a1", "i1", "i2"])
        asked = []

        def token(audience):
            asked.append(audience)
            return next(given)

        client = berth.Client("p", "https://status.example/Status", tenant="red", token=token)
        self.answers = ['{"messageIds": ["1"]}', "{}", 401, "{}"]
        client.cancel("a b")
        client.status("a/b")
        client.status("a/b")
        self.assertEqual(asked, [None, "https://status.example", "https://status.example"])
        urls = [request.full_url for request in self.sent]
        self.assertEqual(urls[0], "https://pubsub.googleapis.com/v1/projects/p/topics/berth-requests:publish")
        self.assertEqual(urls[1:], ["https://status.example/Status/requests/a%2Fb?kind=request&tenant=red"] * 3)
        bearers = [(request.get_header("Authorization"), request.get_header("X-serverless-authorization")) for request in self.sent]
        self.assertEqual(bearers, [("Bearer a1", None), ("Bearer i1", "Bearer i1"), ("Bearer i1", "Bearer i1"), ("Bearer i2", "Bearer i2")])
        # A new token that is refused, too, is an error and no loop.
        given = iter(["i3"])
        self.answers = [401, 401]
        with self.assertRaisesRegex(berth.Error, "401"):
            client.status("a")

    def test_no_token_without_tls(self):
        client = berth.Client("p", "http://status.example", token=lambda _: self.fail("a token was asked for"))
        self.answers = ["{}"]
        client.status("a")
        self.assertIsNone(self.sent[0].get_header("Authorization"))

    def test_the_metadata_server(self):
        self.answers = ['{"access_token": "a", "expires_in": 3599}', "i"]
        self.assertEqual((berth.default_token(None), berth.default_token("https://s.example")), ("a", "i"))
        account = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/"
        # Without format=full the token lacks the address, by which Status decides what is shown.
        self.assertEqual([r.full_url for r in self.sent], [account + "token", account + "identity?audience=https%3A%2F%2Fs.example&format=full"])
        self.assertEqual({r.get_header("Metadata-flavor") for r in self.sent}, {"Google"})
        with unittest.mock.patch.dict(os.environ, BERTH_TOKEN="given\n"):
            self.assertEqual(berth.default_token("https://s.example"), "given")

    def test_gcloud(self):
        with tempfile.TemporaryDirectory() as folder:
            gcloud = pathlib.Path(folder, "gcloud")
            gcloud.write_text('#!/bin/sh\ncase "$*" in *--audiences*) exit 1;; esac\necho "$2"\n')
            gcloud.chmod(0o755)
            away = OSError("no such host")
            self.answers = [away, away]
            with unittest.mock.patch.dict(os.environ, PATH=folder + os.pathsep + os.environ["PATH"]):
                got = berth.default_token(None), berth.default_token("https://s.example")
            self.assertEqual(got, ("print-access-token", "print-identity-token"))
            gcloud.write_text("#!/bin/sh\nexit 1\n")
            self.answers = [away]
            with unittest.mock.patch.dict(os.environ, PATH=folder), self.assertRaisesRegex(berth.Error, "gcloud auth login"):
                berth.default_token(None)


def _file(text):
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(text)
    unittest.addModuleCleanup(os.unlink, file.name)
    return file.name


class Recipes(Base):
    """The recipes' own lines. The libraries are stand-ins."""

    def setUp(self):
        super().setUp()
        patch = unittest.mock.patch.object(berth.Client.__init__, "__defaults__", (None, None, None, None, None, EVERY))
        patch.start()
        self.addCleanup(patch.stop)

    def airflow(self, task, run_id):
        """Runs a task as Airflow does: execute, the trigger as the triggerer makes it, finish."""
        from airflow.sdk import TaskDeferred

        context = {"ti": types.SimpleNamespace(dag_id="d", task_id=self.id, run_id=run_id, map_index=-1)}
        with self.assertRaises(TaskDeferred) as deferred:
            task.execute(context)
        path, arguments = json.loads(json.dumps(deferred.exception.trigger.serialize()))
        module, name = path.rsplit(".", 1)
        trigger = getattr(sys.modules[module], name)(**arguments)

        async def fire():
            async for event in trigger.run():
                return event.payload

        return getattr(task, deferred.exception.method_name)(context, json.loads(json.dumps(asyncio.run(fire()))))

    def test_scheduler(self):
        script = (RECIPES / "scheduler.sh").read_text()
        attributes = dict(pair.split("=") for pair in re.search(r"--attributes=(\S+)", script)[1].split(","))
        attributes["berth-concurrency-key"] += str(os.getpid())
        message = {"data": base64.b64encode(json.dumps(job(self.id, run="1h")).encode()).decode(), "attributes": attributes}
        ids, codes = [], []
        for _ in range(2):  # the second is a publication again, or the next night
            ids.append(self.client._publish(message, berth.after(120)))
            cancel = {"attributes": {"berth-cancel": "true", "berth-message-id": ids[-1]}}
            self.addCleanup(self.client._publish, cancel, berth.after(120))
            for _ in self.client._polls(berth.after(120), "the message is not handled yet"):
                request = self.client._get(ids[-1], "message", berth.after(120))
                if request:
                    codes.append(request["state"] == "REJECTED" and request["reason"]["code"])
                    break
        self.assertEqual(codes, [False, "ALREADY_ACTIVE"])

    def test_airflow(self):
        import airflow_dag
        from airflow.sdk.exceptions import AirflowFailException

        run = "scheduled__2026-11-27T02:00:00+00:00"
        id = f"d.{self.id}.scheduled__2026-11-27T02:00:00-00:00"

        def operator(job):
            return airflow_dag.BerthOperator(task_id=self.id, job=job, options={"priority": 3}, every=EVERY)

        failing = job(self.id, **{"fake-end": "failed"})
        with self.assertRaises(berth.Ended):
            self.airflow(operator(failing), run)
        name = self.airflow(operator(job(self.id)), run)  # a retry
        self.assertEqual(self.client.status(f"{id}.2")["job"], name)
        self.assertEqual(self.client.status(id)["priority"], 3)
        self.assertEqual(self.airflow(operator(job(self.id)), run), name)  # the worker died, and the task runs again
        self.assertEqual(len(jobs(self.id)), 2)
        with self.assertRaises(AirflowFailException):
            operator({"displayName": "x"}).execute({"ti": types.SimpleNamespace(dag_id="d", task_id=self.id, run_id="bad", map_index=2)})
        cancelled = operator(job(self.id, run="1h"))
        threading.Timer(0.5, self.client.cancel, [f"d.{self.id}.c"]).start()
        with self.assertRaises(AirflowFailException):
            self.airflow(cancelled, "c")

    def test_kubeflow(self):
        import kubeflow_component

        component = kubeflow_component.berth_job.python_func
        arguments = {"project": os.environ["BERTH_PROJECT"], "status_url": os.environ["BERTH_STATUS_URL"], "run_id": self.id, "step": "train"}
        name = component(**arguments, job=job(self.id), options={"priority": 1})
        self.assertEqual(component(**arguments, job=job(self.id), options={"priority": 1}), name)
        self.assertEqual(self.client.status(f"{self.id}.train")["job"], name)
        kubeflow_component.pipeline("p", "https://status.example", {})

    def test_prefect(self):
        import prefect.runtime
        import prefect_flow

        prefect.runtime.task_run.id = self.id
        with self.assertRaises(berth.Ended):
            prefect_flow.berth_job(job(self.id, **{"fake-end": "failed"}))
        self.assertEqual(len(jobs(self.id)), 3)  # the first and two retries
        prefect.runtime.task_run.id = self.id + "-refused"
        with self.assertRaises(berth.Refused):
            prefect_flow.berth_job({"displayName": "x"})
        self.assertEqual(FAULTS.publications(), 4)  # a refusal is not tried again
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "job.json")
            path.write_text(json.dumps(job(self.id + "-flow")))
            prefect.runtime.task_run.id = self.id + "-flow"
            self.assertEqual([prefect_flow.train(str(path))], jobs(self.id + "-flow"))

    def test_dagster(self):
        import dagster
        import dagster_job

        context = types.SimpleNamespace(run_id=self.id, op_def=types.SimpleNamespace(name="berth_job"))
        name = dagster_job.berth_job(context, dagster_job.BerthConfig(job=job(self.id), priority=2))
        self.assertEqual(self.client.status(f"dagster-{self.id}.berth_job")["job"], name)
        for bad, again in (({"displayName": "x"}, False), (job(self.id, **{"fake-end": "failed"}), True)):
            context.run_id += "x"
            with self.assertRaises(dagster.Failure) as caught:
                dagster_job.berth_job(context, dagster_job.BerthConfig(job=bad))
            self.assertEqual(caught.exception.allow_retries, again)

    def test_zenml(self):
        import zenml_step_operator as recipe
        from zenml.enums import ExecutionStatus

        flavor = recipe.BerthStepOperatorFlavor()
        defaults = {k: v for k, v in vars(recipe.BerthStepOperatorConfig).items() if k in recipe.BerthStepOperatorConfig.__annotations__}
        config = flavor.config_class(**{**defaults, "machine_type": "n1-standard-4", "timeout": "3600s"})
        operator = flavor.implementation_class("berth", config)
        step = types.SimpleNamespace(config=types.SimpleNamespace(uses_step_operator=lambda name: name == "berth", docker_settings=None))
        (build,) = operator.get_docker_builds(types.SimpleNamespace(step_configurations={"train": step}))
        images = {build.key: "us-docker.pkg.dev/example/zenml/step:1"}
        info = types.SimpleNamespace(run_name=self.id, pipeline_step_name="train", step_run_id=self.id, get_image=lambda key: images[key])
        run = types.SimpleNamespace(id=self.id)
        self.assertEqual(operator.get_status(run), ExecutionStatus.INITIALIZING)
        operator.submit(info, ["python", "-m", "zenml.entrypoint"], {"ZENML_STORE_URL": "x"})
        self.assertIn(operator.get_status(run), (ExecutionStatus.INITIALIZING, ExecutionStatus.RUNNING))
        operator.submit(info, ["python", "-m", "zenml.entrypoint"], {"ZENML_STORE_URL": "x"})
        operator.cancel(run)
        with self.assertRaises(berth.Ended):
            operator.launch(info, ["python", "-m", "zenml.entrypoint"], {"ZENML_STORE_URL": "x"})
        self.assertEqual(operator.get_status(run), ExecutionStatus.STOPPED)


class Files(unittest.TestCase):
    def test_python_3_9_and_no_dependency(self):
        for path in RECIPES.glob("*.py"):
            ast.parse(path.read_text(), str(path), feature_version=(3, 9))
        tree = ast.parse((RECIPES / "berth.py").read_text())
        imported = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
        imported += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        for name in imported:  # each is part of Python itself, not installed beside it
            origin = importlib.util.find_spec(name).origin
            self.assertTrue(origin in ("built-in", "frozen") or "site-packages" not in origin and not origin.startswith(str(HERE.parent)), name)


class Workflows(Base):
    """The two definitions of Workflows under the interpreter of workflows.py, and the rest of Google Cloud in memory."""

    def setUp(self):
        super().setUp()
        self.definitions = json.loads(os.environ["TEST_WORKFLOWS"])
        self.name = f"projects/1/locations/us-central1/workflows/berth-run/executions/{self.id}"
        self.received, self.ended, self.late = queue.Queue(), False, []
        self.environment = {
            "GOOGLE_CLOUD_PROJECT_ID": os.environ["BERTH_PROJECT"],
            "GOOGLE_CLOUD_PROJECT_NUMBER": "1",
            "GOOGLE_CLOUD_LOCATION": "us-central1",
            "GOOGLE_CLOUD_WORKFLOW_ID": "berth-run",
            "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": self.id,
            "BERTH_STATUS_URL": os.environ["BERTH_STATUS_URL"],
        }
        self.request = "berth-run:" + self.id
        self.listens = True

    def pubsub(self, path, body):
        request = urllib.request.Request(f"http://{PUBSUB}/v1/projects/{os.environ['BERTH_PROJECT']}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def events(self):
        """Starts the listener for each event, twice, as Eventarc may; returns when there is something for the execution."""
        while self.listens:
            got = self.pubsub("subscriptions/localstack-outcomes:pull", {"maxMessages": 20, "returnImmediately": True}).get("receivedMessages", [])
            for message in got:
                self.pubsub("subscriptions/localstack-outcomes:acknowledge", {"ackIds": [message["ackId"]]})
                for _ in range(2):
                    result = workflows.Execution(self.definitions["workflow_outcome.yaml"], {
                        "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.callbacks.list": self.list,
                        "http.post": self.post,
                    }, self.environment).run({"data": {"message": message["message"]}})
                    self.assertTrue(result)
            if not self.received.empty():
                return
            time.sleep(EVERY)

    def list(self, parent):
        if parent != self.name:
            raise workflows.http_error(404)
        return {} if self.ended else {"callbacks": [{"name": self.name + "/callback/c1", "method": "POST"}]}

    def post(self, url, auth, body):
        self.assertEqual((url, auth), (f"https://workflowexecutions.googleapis.com/v1/{self.name}/callbacks/c1", {"type": "OAuth2"}))
        if self.ended:
            raise workflows.http_error(404)
        self.received.put(body)

    def wait(self, callback, timeout):
        self.assertEqual(timeout, 3600)
        if self.listens:
            self.events()
        if self.received.empty():
            raise workflows.Raised(workflows.Map(tags=["TimeoutError"]))
        return {"http_request": {"body": self.received.get()}}

    def publish(self, topic, body):
        self.assertEqual(topic, f"projects/{os.environ['BERTH_PROJECT']}/topics/berth-requests")
        return self.pubsub("topics/berth-requests:publish", body)

    def get(self, url, headers, auth):
        self.assertEqual((headers, auth), ({"Accept": "application/json"}, {"type": "OIDC", "audience": os.environ["BERTH_STATUS_URL"]}))
        time.sleep(EVERY)  # an hour
        with urllib.request.urlopen(url) as answer:
            return {"body": json.load(answer)}

    def execution(self, argument):
        try:
            return workflows.Execution(self.definitions["workflow_run.yaml"], {
                "events.create_callback_endpoint": lambda http_callback_method: {"url": "unused"},
                "events.await_callback": self.wait,
                "googleapis.pubsub.v1.projects.topics.publish": self.publish,
                "http.get": self.get,
            }, self.environment).run(argument)
        finally:
            self.ended = True

    def test_the_outcome_calls_back(self):
        outcome = self.execution({"job": job(self.id), "attributes": {"berth-priority": "4"}})
        self.assertEqual((outcome["state"], outcome["requestId"]), ("SUCCEEDED", self.request))
        self.assertEqual(jobs(self.id), [outcome["job"]])
        self.assertEqual(self.client.status(self.request)["priority"], 4)

    def test_a_job_that_fails(self):
        with self.assertRaises(workflows.Raised) as caught:
            self.execution({"job": job(self.id, **{"fake-end": "failed"})})
        self.assertEqual((caught.exception.value["state"], caught.exception.value["reason"]["code"]), ("FAILED", "JOB_ENDED"))

    def test_a_refusal_and_one_of_another_message(self):
        self.received.put({"state": "REFUSED", "messageId": "another"})
        with self.assertRaises(workflows.Raised) as caught:
            self.execution({"job": {"displayName": "x"}})
        self.assertEqual(caught.exception.value["state"], "REFUSED")
        self.assertNotEqual(caught.exception.value["messageId"], "another")

    def test_an_event_that_never_comes(self):
        self.listens = False
        self.assertEqual(self.execution({"job": job(self.id)})["state"], "SUCCEEDED")

    def test_an_error_of_the_callback_is_no_timeout(self):
        self.wait = lambda callback, timeout: (_ for _ in ()).throw(workflows.http_error(500))
        with self.assertRaises(workflows.Raised) as caught:
            self.execution({"job": job(self.id)})
        self.assertEqual(caught.exception.value["code"], 500)


if __name__ == "__main__":
    unittest.main()
