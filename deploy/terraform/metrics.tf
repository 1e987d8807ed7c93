locals {
  logs_of_functions = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^${var.prefix}-(admit|reconcile|status)$\""

  # Counts of log events. The key is the name of the metric, without the prefix.
  counters = {
    decisions     = "jsonPayload.event=\"decision\""
    answers       = "jsonPayload.event=\"answer\""
    submissions   = "jsonPayload.event=\"submitted\""
    rate_refusals = "jsonPayload.event=\"declined\" AND jsonPayload.kind=\"RATE\""
    declined      = "jsonPayload.event=\"declined\""
    outbox_late   = "jsonPayload.event=\"outbox_late\""
    timer_late    = "jsonPayload.event=\"timer_late\""
    resource_down = "jsonPayload.event=\"resource_down\""
  }
  # Labels of the counts. None has a value for each job or request: a metric has a time
  # series for each combination of values.
  counter_labels = {
    decisions     = { state = "EXTRACT(jsonPayload.state)", reason = "EXTRACT(jsonPayload.reason)" }
    answers       = { reason = "EXTRACT(jsonPayload.reason)" }
    declined      = { kind = "EXTRACT(jsonPayload.kind)" }
    resource_down = { resource = "EXTRACT(jsonPayload.resource)", state = "EXTRACT(jsonPayload.state)" }
  }
}

resource "google_logging_metric" "counter" {
  for_each         = local.counters
  project          = var.project
  name             = "${var.prefix}/${each.key}"
  description      = "Berth: log records with ${each.value}"
  filter           = "${local.logs_of_functions} AND ${each.value}"
  label_extractors = lookup(local.counter_labels, each.key, {})

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = lookup(local.counter_labels, each.key, {})
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  depends_on = [google_project_service.this]
}

# How long machines that came free stood idle before a waiting request started on them.
resource "google_logging_metric" "reuse" {
  project         = var.project
  name            = "${var.prefix}/reuse_seconds"
  description     = "Berth: seconds from the end of a job until a waiting request starts on its machines"
  filter          = "${local.logs_of_functions} AND jsonPayload.event=\"reused\""
  value_extractor = "EXTRACT(jsonPayload.wait_seconds)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }

  bucket_options {
    explicit_buckets {
      bounds = [1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 300, 600, 1800]
    }
  }

  depends_on = [google_project_service.this]
}
