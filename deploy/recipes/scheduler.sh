#!/usr/bin/env bash
#
# Cloud Scheduler: publishes a job file every night. Run it once; "update" instead of "create" changes it:
#
#   PROJECT=my-project REGION=us-central1 bash scheduler.sh job.json
#
# No request id is set, so the id of the message is the idempotency key: another one in each run, and the same one
# however often Pub/Sub delivers it. A publication that Cloud Scheduler makes again because the answer was lost is
# another message: the concurrency key refuses it, ALREADY_ACTIVE, as long as the first is active. The same holds for a
# run that comes while the one before is still active.
set -euo pipefail
: "${PROJECT:?}" "${REGION:?}" "${1:?names no job file}"

gcloud scheduler jobs create pubsub berth-nightly --project="$PROJECT" --location="$REGION" \
  --schedule='0 2 * * *' --time-zone=Etc/UTC --topic="projects/$PROJECT/topics/berth-requests" \
  --message-body-from-file="$1" --attributes=berth-concurrency-key=nightly,berth-concurrency-policy=forbid,berth-priority=10 \
  --max-retry-attempts=3 --min-backoff=30s
