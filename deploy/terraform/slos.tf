resource "google_monitoring_custom_service" "this" {
  project      = var.project
  service_id   = var.prefix
  display_name = var.prefix

  depends_on = [google_project_service.this]
}

locals {
  admit_service = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.prefix}-admit\""
}

# A delivery that is answered with 5xx is delivered again: its publisher waits.
resource "google_monitoring_slo" "answered" {
  project             = var.project
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "${var.prefix}-answered"
  display_name        = "99.5 % of deliveries are answered without an error"
  goal                = 0.995
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      total_service_filter = "metric.type=\"run.googleapis.com/request_count\" ${local.admit_service}"
      bad_service_filter   = "metric.type=\"run.googleapis.com/request_count\" ${local.admit_service} metric.labels.response_code_class=\"5xx\""
    }
  }
}

resource "google_monitoring_slo" "accepted" {
  project             = var.project
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "${var.prefix}-accepted"
  display_name        = "99 % of requests are accepted within 10 s"
  goal                = 0.99
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type=\"run.googleapis.com/request_latencies\" ${local.admit_service}"
      range {
        max = 10000 # milliseconds
      }
    }
  }
}

resource "google_monitoring_slo" "reused" {
  project             = var.project
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "${var.prefix}-reused"
  display_name        = "95 % of freed machines that are waited for are reused within 60 s"
  goal                = 0.95
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.reuse.name}\" resource.type=\"cloud_run_revision\""
      range {
        max = 60
      }
    }
  }
}
