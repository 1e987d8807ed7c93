# A persistent resource that Berth can serve. Creation takes tens of minutes, and a
# change of its pools replaces it: drain it first (berth drain).
resource "google_vertex_ai_persistent_resource" "this" {
  name         = var.name
  display_name = var.name
  project      = var.project
  location     = var.region
  network      = var.network

  dynamic "resource_pools" {
    for_each = var.pools
    content {
      id            = "pool-${resource_pools.key}"
      replica_count = resource_pools.value.max_replicas == null ? resource_pools.value.replicas : null

      machine_spec {
        machine_type      = resource_pools.value.machine_type
        accelerator_type  = resource_pools.value.accelerator_type
        accelerator_count = resource_pools.value.accelerator_count
      }
      disk_spec {
        boot_disk_type    = resource_pools.value.disk_type
        boot_disk_size_gb = resource_pools.value.disk_gb
      }
      dynamic "autoscaling_spec" {
        for_each = resource_pools.value.max_replicas == null ? [] : [resource_pools.value]
        content {
          min_replica_count = autoscaling_spec.value.min_replicas
          max_replica_count = autoscaling_spec.value.max_replicas
        }
      }
    }
  }

  dynamic "encryption_spec" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = encryption_spec.value
    }
  }

  # With a custom service account every job has to bring one. Without, jobs run as a
  # service agent with wide rights.
  resource_runtime_spec {
    service_account_spec {
      enable_custom_service_account = var.custom_service_account
    }
  }
}
