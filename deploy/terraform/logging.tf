# Log entries of jobs are hints: Berth asks Vertex AI about the job that one names.
# What an entry says of a state is not documented, and the tick finds the job anyway.
resource "google_logging_project_sink" "job_logs" {
  count                  = var.log_sink ? 1 : 0
  name                   = "${var.prefix}-job-logs"
  project                = var.project
  destination            = "pubsub.googleapis.com/${google_pubsub_topic.job_logs[0].id}"
  filter                 = "resource.type=\"ml_job\" AND labels.\"ml.googleapis.com/job_state\":*"
  unique_writer_identity = true

  depends_on = [google_project_service.this]
}
