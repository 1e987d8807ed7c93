#!/usr/bin/env bash
#
# Workflows with a callback on the outcome: deploys workflow_run.yaml and workflow_outcome.yaml, and makes Eventarc start
# the latter for each event of the outcome topic. Run it in this folder, once:
#
#   PROJECT=my-project REGION=us-central1 STATUS_URL=https://... bash workflows.sh
#
# STATUS_URL is that of the service berth-status, without a path. Add the account that this makes to BERTH_STATUS_CALLERS.
# Each event costs one short execution, because Eventarc does not filter by attributes of messages.
set -euo pipefail
: "${PROJECT:?}" "${REGION:?}" "${STATUS_URL:?}"

account=berth-workflows@$PROJECT.iam.gserviceaccount.com
gcloud iam service-accounts create berth-workflows --project="$PROJECT"
# Publish, read Status, list and call callbacks, be started by Eventarc.
gcloud pubsub topics add-iam-policy-binding berth-requests --project="$PROJECT" --member="serviceAccount:$account" --role=roles/pubsub.publisher
gcloud run services add-iam-policy-binding berth-status --project="$PROJECT" --region="$REGION" --member="serviceAccount:$account" --role=roles/run.invoker
for role in roles/workflows.invoker roles/workflows.viewer roles/eventarc.eventReceiver roles/logging.logWriter; do
  gcloud projects add-iam-policy-binding "$PROJECT" --member="serviceAccount:$account" --role="$role" --condition=None
done
gcloud workflows deploy berth-run --project="$PROJECT" --location="$REGION" --source=workflow_run.yaml --service-account="$account" --set-env-vars="BERTH_STATUS_URL=$STATUS_URL"
gcloud workflows deploy berth-outcome --project="$PROJECT" --location="$REGION" --source=workflow_outcome.yaml --service-account="$account"
gcloud eventarc triggers create berth-outcome --project="$PROJECT" --location="$REGION" \
  --destination-workflow=berth-outcome --destination-workflow-location="$REGION" \
  --event-filters=type=google.cloud.pubsub.topic.v1.messagePublished --transport-topic="projects/$PROJECT/topics/berth-outcomes" \
  --service-account="$account"
