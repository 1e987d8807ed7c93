# --- identities ---

resource "google_service_account" "run" {
  account_id   = "${var.prefix}-run"
  project      = var.project
  display_name = "Berth: what the functions run as"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "push" {
  account_id   = "${var.prefix}-push"
  project      = var.project
  display_name = "Berth: what Pub/Sub calls the functions as"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "build" {
  account_id   = "${var.prefix}-build"
  project      = var.project
  display_name = "Berth: what Cloud Build builds the functions as"

  depends_on = [google_project_service.this]
}

# --- what the functions may do ---

# roles/aiplatform.user would also work, but grants hundreds of further permissions.
resource "google_project_iam_custom_role" "jobs" {
  project = var.project
  role_id = "${replace(var.prefix, "-", "_")}_jobs"
  title   = "Berth: submit and follow training jobs"
  permissions = [
    "aiplatform.customJobs.cancel",
    "aiplatform.customJobs.create",
    "aiplatform.customJobs.get",
    "aiplatform.customJobs.list",
    "aiplatform.persistentResources.get",
  ]

  depends_on = [google_project_service.this]
}

# Jobs have no policy of their own, so this is one of the project.
resource "google_project_iam_member" "jobs" {
  project = var.project
  role    = google_project_iam_custom_role.jobs.id
  member  = google_service_account.run.member
}

resource "google_project_iam_member" "ledger" {
  project = var.project
  role    = "roles/datastore.user"
  member  = google_service_account.run.member
  # Without the condition the functions could read and write every database of the
  # project.
  condition {
    title      = "${var.prefix}-database-only"
    expression = "resource.name==\"projects/${var.project}/databases/${google_firestore_database.ledger.name}\""
  }
}

# The collector beside a function sends as the function's account.
resource "google_project_iam_member" "telemetry" {
  for_each = toset(var.collector_image == "" ? [] : ["roles/cloudtrace.agent", "roles/monitoring.metricWriter"])
  project  = var.project
  role     = each.value
  member   = google_service_account.run.member
}

# Outcomes, not requests: otherwise an attacker who controls a function could publish
# jobs.
resource "google_pubsub_topic_iam_member" "outcomes" {
  project = var.project
  topic   = google_pubsub_topic.outcomes.name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.run.member
}

# A job runs as the account that it names, and may do what that account may. The right
# to name one is given account by account; given on the project, every publisher could
# run code as any account there.
resource "google_service_account_iam_member" "job_account" {
  for_each = var.job_service_accounts
  # The "-" stands for whatever project the account is in.
  service_account_id = "projects/-/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.run.member
}

# --- who may call the functions ---

resource "google_cloud_run_v2_service_iam_member" "push" {
  for_each = toset(["admit", "reconcile"])
  project  = var.project
  location = local.region
  name     = google_cloud_run_v2_service.function[each.value].name
  role     = "roles/run.invoker"
  member   = google_service_account.push.member
}

resource "google_cloud_run_v2_service_iam_member" "status" {
  for_each = var.status_users
  project  = var.project
  location = local.region
  name     = google_cloud_run_v2_service.function["status"].name
  role     = "roles/run.invoker"
  member   = each.value
}

# Pub/Sub alone may make tokens of the push account. A binding, not a member: it takes
# the role from others who have it on this account.
resource "google_service_account_iam_binding" "push_tokens" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  members            = [local.pubsub_agent]

  # Pub/Sub's own account exists once Pub/Sub has been used.
  depends_on = [google_pubsub_topic.dead_letters]
}

# --- who may publish ---

locals {
  publishers = merge([
    for topic, members in local.request_topics : { for m in members : "${topic} ${m}" => { topic = topic, member = m } }
  ]...)
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = local.publishers
  project  = var.project
  topic    = google_pubsub_topic.requests[each.value.topic].name
  role     = "roles/pubsub.publisher"
  member   = each.value.member
}

# Whoever may publish there may pause everything. It is not the topic of any tenant.
resource "google_pubsub_topic_iam_member" "operator" {
  for_each = var.operators
  project  = var.project
  topic    = google_pubsub_topic.operators.name
  role     = "roles/pubsub.publisher"
  member   = each.value
}

# A sink that may not publish drops everything, and Google reports it by e-mail only.
resource "google_pubsub_topic_iam_member" "sink" {
  count   = var.log_sink ? 1 : 0
  project = var.project
  topic   = google_pubsub_topic.job_logs[0].name
  role    = "roles/pubsub.publisher"
  member  = google_logging_project_sink.job_logs[0].writer_identity
}

# Pub/Sub moves a dead letter by a publication and an acknowledgement. Without these
# it silently delivers beyond the last attempt.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  project = var.project
  topic   = google_pubsub_topic.dead_letters.name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "admit" {
  for_each     = local.request_topics
  project      = var.project
  subscription = google_pubsub_subscription.admit[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "operators" {
  project      = var.project
  subscription = google_pubsub_subscription.operators.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# --- what the build may do ---

resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

# The buckets that function sources are put into, not those with training data.
resource "google_project_iam_member" "build_sources" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member
  condition {
    title      = "${var.prefix}-build-sources-only"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${local.region}\")"
  }
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project
  location   = local.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}
