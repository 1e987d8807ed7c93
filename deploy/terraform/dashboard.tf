resource "google_monitoring_dashboard" "this" {
  project        = var.project
  dashboard_json = templatefile("${path.module}/dashboard.json", { prefix = var.prefix })

  depends_on = [google_logging_metric.counter, google_logging_metric.reuse]
}
