# What the project may submit per minute and region: 60 unless Google has raised it.
# Berth paces its submissions below that, since a refusal for the rate costs a pause.
data "google_cloud_quotas_quota_infos" "vertex" {
  provider = google.with_quota_project
  count    = var.submissions_per_minute == null ? 1 : 0
  parent   = "projects/${var.project}"
  service  = "aiplatform.googleapis.com"

  depends_on = [google_project_service.this]
}

locals {
  # The quota is found by the name that the console shows. The id of a quota is an
  # internal name that is not documented for this one.
  submission_quotas = flatten([
    for q in try(data.google_cloud_quotas_quota_infos.vertex[0].quota_infos, []) : [
      for d in q.dimensions_infos : [
        for value in d.details[*].value : tonumber(value) if tonumber(value) > 0 # -1 is no limit
      ] if length(setintersection(toset(d.applicable_locations), toset(var.regions))) > 0
    ] if startswith(q.quota_display_name, "Job or LRO submission requests per minute")
  ])
  # The least of the served regions, since the setting is one for all. 60 is Vertex AI's default.
  submissions_per_minute = var.submissions_per_minute != null ? var.submissions_per_minute : try(max(1, min(local.submission_quotas...)), 60)
}
