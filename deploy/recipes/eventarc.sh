#!/usr/bin/env bash
#
# Eventarc: calls a Cloud Run service of yours for each event of the outcome topic. Run it once:
#
#   PROJECT=my-project REGION=us-central1 SERVICE=my-service bash eventarc.sh
#
# The service gets a POST with a CloudEvent of Pub/Sub, whose body is {"message": {"attributes": {"ce-type": ...}, "data":
# base64 of the outcome}}. Answer 2xx once it is handled; others are delivered again. Drop a ce-id that you have seen, and
# sort by ce-sequence within a ce-requestid. A subscription with a filter, such as
# attributes.ce-state="FAILED", gets fewer events; Eventarc gets all.
set -euo pipefail
: "${PROJECT:?}" "${REGION:?}" "${SERVICE:?}"

account=berth-events@$PROJECT.iam.gserviceaccount.com
gcloud iam service-accounts create berth-events --project="$PROJECT"
gcloud projects add-iam-policy-binding "$PROJECT" --member="serviceAccount:$account" --role=roles/eventarc.eventReceiver --condition=None
gcloud run services add-iam-policy-binding "$SERVICE" --project="$PROJECT" --region="$REGION" --member="serviceAccount:$account" --role=roles/run.invoker
gcloud eventarc triggers create "berth-$SERVICE" --project="$PROJECT" --location="$REGION" \
  --destination-run-service="$SERVICE" --destination-run-region="$REGION" --destination-run-path=/ \
  --event-filters=type=google.cloud.pubsub.topic.v1.messagePublished --transport-topic="projects/$PROJECT/topics/berth-outcomes" \
  --service-account="$account"
