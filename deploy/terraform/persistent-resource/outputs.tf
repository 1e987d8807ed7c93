output "name" {
  description = "Full name, as requests and BERTH_DEFAULT_RESOURCE may give it."
  value       = "projects/${var.project}/locations/${var.region}/persistentResources/${var.name}"

  depends_on = [google_vertex_ai_persistent_resource.this]
}
