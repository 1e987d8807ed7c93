locals {
  services = [
    "aiplatform", "artifactregistry", "cloudbuild", "cloudfunctions", "cloudquotas", "cloudresourcemanager", "cloudscheduler",
    "firebaserules", "firestore", "iam", "logging", "monitoring", "pubsub", "run", "storage",
  ]
}

resource "google_project_service" "this" {
  for_each = toset(local.services)
  project  = var.project
  service  = "${each.value}.googleapis.com"

  # Others in the project may use them.
  disable_on_destroy = false
}

data "google_project" "this" {
  project_id = var.project

  depends_on = [google_project_service.this]
}

locals {
  # Pub/Sub acts under an account of its own.
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}
