"""A client of Berth in one file: Python 3.9 or later, nothing beyond the standard library.

    import berth
    from google.cloud import aiplatform

    name = berth.run(custom_job, id="train-42")  # publishes, and waits until Vertex AI has the job
    job = aiplatform.CustomJob.get(name)         # the SDK's code goes on from here
    berth.wait("train-42")                       # or waits for the end as Berth sees it

A job is what Berth takes: a CustomJob, a CustomJobSpec or worker pool specs as a dict or a list, a text in JSON or YAML,
or an object of the SDK (give aiplatform.CustomJob a base_output_dir: the one that it makes up differs each time).
The id is the idempotency key: after a crash, call run again with the same id and the same job, and you get the job
that is there. Without an id a random one is drawn.

Reading is polling of the Status function. It needs no subscription, so a killed process leaves nothing behind, and
one that starts again misses nothing. The caller needs roles/pubsub.publisher on the request topic, roles/run.invoker
on Status, and its address in BERTH_STATUS_CALLERS. The environment says where: BERTH_PROJECT, BERTH_STATUS_URL, and
BERTH_REQUEST_TOPIC and BERTH_TENANT where they are not the defaults. PUBSUB_EMULATOR_HOST selects an emulator.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import itertools
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

__all__ = ["Client", "Ended", "Error", "Refused", "Timeout", "cancel", "run", "wait"]

PATIENCE = 300.0  # seconds in which a call that fails, or an id that is unknown, is tried again
AGAIN = (408, 429, 500, 502, 503, 504)  # HTTP answers after which the same call may succeed

Status = Dict[str, Any]  # what Status says of a request: state, job, reason, times, events and more


class Error(Exception):
    """What went wrong. code, path, detail and fix are those of Berth's reason, "" where there is none."""

    def __init__(self, text: str, reason: Optional[Dict[str, Any]] = None, status: Optional[Status] = None) -> None:
        super().__init__(text)
        self.reason: Dict[str, Any] = reason or {}
        self.status: Status = status or {}
        self.code, self.path, self.detail, self.fix = (self.reason.get(k, "") for k in ("code", "path", "detail", "fix"))


class Refused(Error):
    """Berth refuses the job: it cannot be read, can never fit, or the id is that of another job. Nothing of it runs."""

    @property
    def problems(self) -> List[Dict[str, Any]]:
        """All that is wrong with it; code, path, detail and fix are the first one's."""
        return self.status.get("problems") or [self.reason]


class Ended(Error):
    """The request has ended otherwise than SUCCEEDED; state is FAILED, CANCELLED or EXPIRED."""

    @property
    def state(self) -> str:
        return str(self.status.get("state", ""))


class Timeout(Error, TimeoutError):
    """The time is up. The request is left alone, also one whose publication is in doubt: wait again, or cancel it."""


class Client:
    """One deployment of Berth, and one caller of it.

    token returns the text of a token: an access token for None, an identity token for an audience. Without it the
    metadata server is asked, then gcloud. every is the longest pause between two polls, in seconds.
    """

    def __init__(
        self,
        project: Optional[str] = None,
        status_url: Optional[str] = None,
        topic: Optional[str] = None,
        tenant: Optional[str] = None,
        token: Optional[Callable[[Optional[str]], str]] = None,
        every: float = 30.0,
    ) -> None:
        project, status_url = project or os.environ.get("BERTH_PROJECT"), status_url or os.environ.get("BERTH_STATUS_URL")
        if not project or not status_url:
            raise ValueError("Name the deployment: project and status_url, or BERTH_PROJECT and BERTH_STATUS_URL.")
        emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
        topic = topic or os.environ.get("BERTH_REQUEST_TOPIC") or "berth-requests"
        topic = topic if "/" in topic else f"projects/{project}/topics/{topic}"
        self._publish_url = f"{'http://' + emulator if emulator else 'https://pubsub.googleapis.com'}/v1/{topic}:publish"
        self._status_url = status_url.rstrip("/")
        self._tenant = tenant or os.environ.get("BERTH_TENANT")
        self._token = token or default_token
        self._tokens: Dict[Optional[str], str] = {}
        self._every = every

    def run(self, job: Any, id: Optional[str] = None, timeout: Optional[float] = None, **options: Any) -> str:
        """Publishes a job, waits until Vertex AI has it, and returns its name.

        Options are those of the message, such as priority=10, max_wait="3600s", on_full="reject" or labels={...}.
        timeout is in seconds. A request that an operator sends back to the queue gets another job, with another
        name: wait follows the request. Raises Refused, Ended if it ended before it had a job, Timeout, or Error.
        """
        deadline = after(timeout)
        id = self.submit(job, id, timeout, **options)
        for request in self._follow(id, deadline):
            if request.get("job") and (request["state"] in ("SUBMITTED", "RUNNING") or request["terminal"]):
                return str(request["job"])
            if request["terminal"]:
                break
        raise ended(id, request)

    def wait(self, id: str, timeout: Optional[float] = None) -> Status:
        """Waits until a request has SUCCEEDED. Raises Refused, Ended, Timeout or Error."""
        for request in self._follow(id, after(timeout)):
            if request["terminal"]:
                break
        if request["state"] != "SUCCEEDED":
            raise ended(id, request)
        return request

    def submit(self, job: Any, id: Optional[str] = None, timeout: Optional[float] = None, **options: Any) -> str:
        """Publishes a job, waits until Berth has recorded the request, in seconds as a rule, and returns its id."""
        if options.get("dry_run"):
            raise ValueError("A dry run makes no request to follow.")
        id, deadline = id or f"py-{uuid.uuid4()}", after(timeout)
        attributes = {"berth-" + name.replace("_", "-"): attribute(value) for name, value in options.items()}
        message = {"data": base64.b64encode(data(job)).decode(), "attributes": {**attributes, "berth-request-id": id}}
        self._get(id, "request", deadline)  # a job that the caller may not follow must not start
        message_id = self._publish(message, deadline)
        for _ in self._polls(deadline, f"Berth has not recorded the request {id} yet"):
            answer = self._get(message_id, "answer", deadline)
            repeat = answer is not None and answer["events"][0]["type"] == "berth.message.duplicate.v1"
            if answer is not None and not repeat:
                raise refused(id, answer["events"][0]["outcome"])
            request = self._get(id, "request", deadline)
            if request is None or request.get("cancelledUntil"):
                continue  # the message is on its way; all that came under the id so far is a cancel
            if request["messageId"] != message_id and not repeat:
                # Another message made the request: an earlier call, or a publication whose answer was lost. Berth
                # does not answer a repeat while the request is active, so /explain compares the content.
                quote = self._call("POST", "/explain", message, deadline) or {}
                reason = quote.get("reason") or {}
                if reason.get("code") == "ID_REUSED" and reason.get("fix"):  # a mere repeat has nothing to fix
                    raise refused(id, quote)
            if request["state"] == "REJECTED":
                raise refused(id, request)
            break
        return id

    def cancel(self, id: str, reason: str = "", timeout: Optional[float] = None) -> None:
        """Asks for the end of a request, known or not yet known; wait(id) says how it ended."""
        attributes = {"berth-cancel": "true", "berth-request-id": id, **({"berth-reason": reason} if reason else {})}
        self._publish({"attributes": attributes}, after(timeout))

    def status(self, id: str) -> Optional[Status]:
        """What is known of a request now; None if nothing is."""
        request = self._get(id, "request", after(None))
        return None if request is None or request.get("cancelledUntil") else request

    def attempt(self, *names: str) -> str:
        """The id for another try of a step: the first of id, id.2, id.3 ... that has not ended otherwise than SUCCEEDED.

        So a step whose process died finds its request again, and a step whose job failed makes a new one. id is made
        of the names of the step and of what it belongs to, such as DAG and run.
        """
        id = request_id(names)
        for n in itertools.count(1):
            name = id if n == 1 else f"{id}.{n}"
            request = self._get(name, "request", after(None)) or {}
            if not request.get("terminal") or request["state"] == "SUCCEEDED":
                break
        return name

    # What follows is for this class.

    def _publish(self, message: Dict[str, Any], deadline: float) -> str:
        """A publication whose answer is lost is made again, which is harmless under one request id."""
        answer = self._call("POST", self._publish_url, {"messages": [message]}, deadline) or {}
        if len(answer.get("messageIds", ())) != 1:
            raise Error(f"{self._publish_url}: there is no such topic")
        return str(answer["messageIds"][0])

    def _follow(self, id: str, deadline: float) -> Iterator[Status]:
        known = after(PATIENCE)
        for _ in self._polls(deadline, f"the request {id} is not that far yet"):
            status = self.status(id)
            if status is not None:
                yield status
            elif time.monotonic() > known:
                raise Error(f"Nothing is known under the id {id}: was it published to this deployment, by this tenant?")

    def _polls(self, deadline: float, what: str) -> Iterator[None]:
        pause = min(0.5, self._every)
        while True:
            yield
            if time.monotonic() + pause > deadline:
                raise Timeout(f"The time is up: {what}.")
            time.sleep(pause)
            pause = min(1.5 * pause, self._every)

    def _get(self, id: str, kind: str, deadline: float) -> Optional[Status]:
        return self._call("GET", f"/requests/{urllib.parse.quote(id, safe='')}?kind={kind}", None, deadline)

    def _call(self, method: str, url: str, body: Any, deadline: float) -> Optional[Dict[str, Any]]:
        """Returns an answer, or None for 404. A call that may succeed later is made again, for PATIENCE at most."""
        audience = None
        if url.startswith("/"):
            origin = urllib.parse.urlsplit(self._status_url)
            audience, url = f"{origin.scheme}://{origin.netloc}", self._status_url + url
            if self._tenant:
                url += f"{'&' if '?' in url else '?'}tenant={urllib.parse.quote(self._tenant)}"
        deadline, pause, renewed = min(deadline, after(PATIENCE)), 0.5, False
        while True:
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            if url.startswith("https://"):  # a token is sent by https only
                if audience not in self._tokens:
                    self._tokens[audience] = self._token(audience)
                headers["Authorization"] = f"Bearer {self._tokens[audience]}"
                if audience:  # Cloud Run checks this one, and passes the other on with its signature
                    headers["X-Serverless-Authorization"] = headers["Authorization"]
            request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=max(1.0, min(30.0, deadline - time.monotonic()))) as answer:
                    return dict(json.load(answer))
            except urllib.error.HTTPError as e:
                text = e.read(4096).decode(errors="replace").strip()
                if e.code == 404:
                    if audience and '"NOT_FOUND"' not in text:
                        raise Error(f"{self._status_url} is not a Status function") from e
                    return None
                if e.code == 401 and not renewed and self._tokens.pop(audience, None):
                    renewed = True  # it has expired; an own attempt, without a pause
                    continue
                if e.code not in AGAIN:
                    raise Error(f"{method} {url}: {e.code} {text}") from e
                problem: Exception = e
            except ValueError as e:  # such as the page of a proxy
                raise Error(f"{url} answers, and not in JSON: is it a Status function?") from e
            except (OSError, http.client.HTTPException) as e:
                problem = e
            if time.monotonic() + pause > deadline:
                raise Timeout(f"{method} {url} has failed until now: {problem}") from problem
            time.sleep(pause)
            pause = min(2 * pause, 10.0)


def refused(id: str, of: Dict[str, Any]) -> Refused:
    return Refused(f"{id} is refused: {sentence(of.get('reason'))}", of.get("reason"), of)


def ended(id: str, request: Status) -> Error:
    if request["state"] == "REJECTED":
        return refused(id, request)
    said = (request.get("jobError") or {}).get("message", "")
    text = f"{id} is {request['state']}: {sentence(request.get('reason'))} {said}"
    return Ended(text.rstrip(), request.get("reason"), request)


def after(timeout: Optional[float]) -> float:
    """The moment, by time.monotonic, at which a timeout is over; never for None."""
    return float("inf") if timeout is None else time.monotonic() + timeout


def request_id(names: Sequence[str]) -> str:
    """Names joined by dots, "-" for what no id may have. Where that is too long, or begins with neither a letter nor
    a digit, a hash of the names makes up for what is cut off, so that other names have another id."""
    joined = ".".join(names)
    id = re.sub(r"[^A-Za-z0-9._:~-]", "-", joined)
    begin = id.lstrip("._:~-")[:100]
    if id == begin or begin and len(id) <= 120 and id[0] == begin[0]:
        return id
    return (begin or "step") + "~" + hashlib.sha256(joined.encode()).hexdigest()[:16]


def attribute(value: Any) -> str:
    """An option as the text of an attribute."""
    if isinstance(value, dict):
        return ",".join(f"{key}={text}" for key, text in sorted(value.items()))
    return str(value)


def data(job: Any) -> bytes:
    """A job as the data of a message."""
    if isinstance(job, (bytes, str)):
        return job if isinstance(job, bytes) else job.encode()
    proto = getattr(job, "_gca_resource", job)  # where aiplatform.CustomJob keeps what it would create
    if hasattr(type(proto), "to_json"):  # a message of google.cloud.aiplatform_v1
        return str(type(proto).to_json(proto, use_integers_for_enums=False)).encode()
    return json.dumps(proto).encode()


def sentence(reason: Optional[Dict[str, Any]]) -> str:
    reason = reason or {}
    path = f" at {reason['path']}" if reason.get("path") else ""
    return f"{reason.get('code', 'no reason is given')}{path}. {reason.get('detail', '')} {reason.get('fix', '')}".strip()


def default_token(audience: Optional[str]) -> str:
    """A token of the service account that this runs as, else of the user of gcloud."""
    if audience and os.environ.get("BERTH_TOKEN"):
        return os.environ["BERTH_TOKEN"].strip()
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    what = f"identity?audience={urllib.parse.quote(audience, safe='')}&format=full" if audience else "token"
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/{what}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"}), timeout=3) as answer:
            text = answer.read().decode()
        return text if audience else str(json.loads(text)["access_token"])
    except OSError:
        pass  # not on Google Cloud
    # To a user, gcloud gives an identity token of its own audience only.
    own = [["print-identity-token", f"--audiences={audience}"], ["print-identity-token"]]
    for words in own if audience else [["print-access-token"]]:
        try:
            call = subprocess.run(["gcloud", "auth", *words], check=True, capture_output=True, text=True, timeout=60)
            return call.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            continue
    raise Error("Neither a metadata server nor gcloud gives a token. Log in with gcloud auth login, or give a token function.")


# What a Client does, for the deployment that the environment names.


def run(job: Any, id: Optional[str] = None, timeout: Optional[float] = None, **options: Any) -> str:
    return Client().run(job, id, timeout, **options)


def wait(id: str, timeout: Optional[float] = None) -> Status:
    return Client().wait(id, timeout)


def cancel(id: str, reason: str = "", timeout: Optional[float] = None) -> None:
    Client().cancel(id, reason, timeout)
